"""The process of test_meshes.py: each computation on four devices, spread in several ways.

python mesh_process.py FILE
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from examine_jax.scoring import (
    AdaptiveSecular,
    DenseSVD,
    MaskedPower,
    SpectralSummary,
    examine,
    examine_groups,
    leave_one_out_singular_values,
)
from tests.support.spectra import with_spectrum

ROWS = with_spectrum(40, 32, np.exp(-np.arange(32.0) / 4), 3).astype(np.float32)
IDS = np.arange(40) % 3

COMPUTATIONS = {
    "secular": lambda rows: examine(rows, center=True).gap,
    "adaptive secular": lambda rows: examine(rows, solver=AdaptiveSecular(max_passes=2)).gap,
    "masked power": lambda rows: examine(rows, solver=MaskedPower()).gap,
    "dense svd": lambda rows: examine(rows, solver=DenseSVD()).gap,
    "gradient": jax.grad(lambda rows: jnp.sum(examine(rows).gap)),
    "groups": lambda rows: examine_groups(rows, IDS[: len(rows)], num_groups=3).gap,
    "summary": lambda rows: SpectralSummary.of(rows).examine_new(rows).gap,
    "top k": lambda rows: leave_one_out_singular_values(rows, 2),
}


def main(file: pathlib.Path) -> None:
    jax.config.update("jax_num_cpu_devices", 4)
    found = {}
    explicit, auto = (
        jax.make_mesh((2, 2), ("rows", "columns"), axis_types=(kind,) * 2)
        for kind in (AxisType.Explicit, AxisType.Auto)
    )
    for name, function in COMPUTATIONS.items():
        for place in (("rows",), (None, "columns")):
            rows = jax.device_put(ROWS, NamedSharding(explicit, PartitionSpec(*place)))
            found[f"{name}/explicit {place[-1]}"] = jax.jit(function)(rows)
        place = PartitionSpec(None, "columns")
        found[f"{name}/auto columns"] = function(jax.device_put(ROWS, NamedSharding(auto, place)))
        by_row = PartitionSpec(("rows", "columns"))
        mapped = jax.shard_map(function, mesh=auto, in_specs=by_row, out_specs=by_row)
        # Every device has all rows, and computes alone.
        found[f"{name}/shard_map"] = jax.jit(mapped)(np.concatenate([ROWS] * 4))
    np.savez(file, **{name: np.asarray(value) for name, value in found.items()})


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
