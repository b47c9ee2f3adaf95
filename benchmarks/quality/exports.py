"""Which public computation exports for which platform, and its float64 work for cuda.

python -m benchmarks.quality.exports --output=benchmarks/results/FILE.json

Each is exported by jax.export inside a user's jit with JAX's 64-bit types off, for each platform
alone. The work is that of the matrix products in the program for cuda: two operations for each
multiplication and addition. A loop's body counts once.
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from absl import app, flags

from benchmarks.quality.matrix_work import operations
from examine_jax.common.atomic_files import write_text
from examine_jax.scoring import (
    SOLVERS,
    SpectralSummary,
    examine,
    examine_groups,
    examine_ky_fan,
    leave_one_out_singular_values,
)

_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
PLATFORMS = ("cpu", "cuda", "tpu", "rocm")
SHAPE = (4096, 768)  # so many rows that `Secular` begins with float32 products
_GROUPS = 8
Function = Callable[[jax.Array], Any]


def _of_groups(features: jax.Array) -> Any:
    ids = jnp.arange(features.shape[0]) % _GROUPS
    return examine_groups(features, ids, num_groups=_GROUPS)


FUNCTIONS: dict[str, Function] = {
    **{
        f"examine, {solver.__name__}": lambda x, solver=solver: examine(x, solver=solver())
        for solver in SOLVERS.values()
    },
    "examine, centred": lambda x: examine(x, center=True, where=x[:, 0] < 1),
    "examine, gradient": jax.grad(lambda x: jnp.sum(examine(x).gap)),
    "examine_groups": _of_groups,
    "leave_one_out_singular_values": lambda x: leave_one_out_singular_values(x, 3),
    "examine_ky_fan": lambda x: examine_ky_fan(x, 3),
    "SpectralSummary.of": SpectralSummary.of,
    "SpectralSummary.merge": lambda x: SpectralSummary.of(x).merge(SpectralSummary.of(x[:3])),
    "SpectralSummary.remove": lambda x: SpectralSummary.of(x).remove(x[:3]),
    "SpectralSummary.examine": lambda x: SpectralSummary.of(x).examine(x),
    "SpectralSummary.examine_new": lambda x: SpectralSummary.of(x).examine_new(x[:9]),
}


def main(_: list[str]) -> None:
    assert not jax.config.jax_enable_x64
    argument = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    record: dict[str, Any] = {"shape": SHAPE, "jax": jax.__version__, "functions": {}}
    for name, function in FUNCTIONS.items():
        entry: dict[str, Any] = {}
        for platform in PLATFORMS:
            try:
                exported = jax.export.export(jax.jit(function), platforms=[platform])(argument)
            except Exception as error:
                entry[platform] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
                continue
            entry[platform] = "exported"
            if platform == "cuda":
                entry["operations"] = operations(exported.mlir_module())
        record["functions"][name] = entry
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")
        print(name, json.dumps(entry), flush=True)


if __name__ == "__main__":
    app.run(main)
