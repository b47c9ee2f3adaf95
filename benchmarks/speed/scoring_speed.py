"""Times the scorer at every size on one device, beside its necessary work and its peers.

The result is one table and one JSON record.

python -m benchmarks.speed.scoring_speed --output=benchmarks/results/FILE.json
[--sizes=500x1024,100000x768] [--torch] [--clock=wall|cpu]

Everything is warmed up and blocked on; medians of several rounds; all of a size in one run. With
`--clock=cpu`, times are CPU seconds of all threads: ratios then hold beside other work, for a
process that is held to one core (`taskset`, `OPENBLAS_NUM_THREADS=1`). Loops are timed on a few
rows and scaled to all. Ceilings are measured in the same run: the memory's rate by adding a number
to a large array, the matrix rate by a product at the highest precision and of the scorer's own
shape. `share_of_ceiling` is the least time that they allow over the time taken: of the full path
for its two products, of the Krylov path for its readings of the features.
"""

import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.speed.bench_scoring import SPECTRA, features, reference
from benchmarks.speed.timing import processor
from examine_jax.common.atomic_files import write_text
from examine_jax.scoring import AdaptiveSecular, MaskedPower, Path, Secular, examine

_SIZES = flags.DEFINE_list(
    "sizes", ["500x192", "500x1024", "5000x768", "100000x768"], "Which, as NxD."
)
_SPECTRA = flags.DEFINE_list("spectra", list(SPECTRA), "Which of benchmarks.speed.bench_scoring.")
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_TORCH = flags.DEFINE_bool("torch", False, "Time a loop of torch's SVDs too.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Of each.", lower_bound=1)
_CLOCK = flags.DEFINE_enum("clock", "wall", ["wall", "cpu"], "What is measured.")
_LOOP_ROWS = 3
_MOST_ROWS_OF_MASKED_POWER = 10_000


def median(function: Callable[[], Any], rounds: int) -> float:
    clock = time.process_time if _CLOCK.value == "cpu" else time.perf_counter
    jax.block_until_ready(function())
    times = []
    for _ in range(rounds):
        begin = clock()
        jax.block_until_ready(function())
        times.append(clock() - begin)
    return float(np.median(times))


def ceilings(width: int) -> dict[str, float]:
    """Measures the device's ceilings: the memory's and the matrix product's.

    The first is in bytes a second. The second is in multiplications and additions a second, of a
    float32 product of full precision.
    """
    large = jnp.zeros(2**26, jnp.float32)
    touch = jax.jit(lambda x: x + 1)
    rows = jnp.ones((8192, width), jnp.float32)
    product = jax.jit(lambda x: jnp.matmul(x.T, x, precision="highest"))
    return {
        "bytes_a_second": 2 * large.nbytes / median(lambda: touch(large), 5),
        "operations_a_second": 2 * rows.size * width / median(lambda: product(rows), 5),
    }


def loops(rows: np.ndarray) -> dict[str, float]:
    """Seconds for all rows of one SVD a row, and of LAPACK's dlasd4 a row."""
    found = {}
    count = len(rows)

    def numpy_loop() -> None:
        for row in range(_LOOP_ROWS):
            np.linalg.svd(np.delete(rows, row, 0), compute_uv=False)

    found["numpy SVD loop"] = median(numpy_loop, 3) * count / _LOOP_ROWS
    largest = jax.jit(lambda matrix: jnp.linalg.svd(matrix, compute_uv=False)[0])

    def jax_loop() -> None:
        for row in range(_LOOP_ROWS):
            largest(jnp.asarray(np.delete(rows, row, 0))).block_until_ready()

    found["jax SVD loop"] = median(jax_loop, 3) * count / _LOOP_ROWS
    if _TORCH.value:
        import torch

        def torch_loop() -> None:
            for row in range(_LOOP_ROWS):
                torch.linalg.svdvals(torch.from_numpy(np.delete(rows, row, 0)))

        found["torch SVD loop"] = median(torch_loop, 3) * count / _LOOP_ROWS
    from scipy.linalg.lapack import dlasd4

    exact = rows.astype(np.float64)

    def coordinates() -> tuple[np.ndarray, np.ndarray]:
        tall = len(exact) >= exact.shape[1]
        values, vectors = np.linalg.eigh(exact.T @ exact if tall else exact @ exact.T)
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
        return values, exact[:100] @ vectors if tall else vectors[:100] * np.sqrt(values)

    values, z = coordinates()
    poles = np.sqrt(values[0] - values)

    def hundred() -> None:
        for row in z:
            dlasd4(0, poles, row / np.linalg.norm(row), np.dot(row, row))

    found["dlasd4 a row, the eigenvectors given"] = median(hundred, 3) * count / 100
    return found


def solvers(rows: np.ndarray, ceiling: dict[str, float]) -> dict[str, Any]:
    count, width = rows.shape
    on_device = jnp.asarray(rows)
    wide = min(count, width)
    vectors = jnp.asarray(
        np.linalg.qr(np.random.default_rng(0).normal(size=(wide, wide)))[0], jnp.float32
    )

    @jax.jit
    def products(rows: jax.Array, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        tall = rows if count >= width else rows.T
        return jnp.matmul(tall.T, tall, precision="highest"), jnp.matmul(
            tall, vectors, precision="highest"
        )

    found: dict[str, Any] = {
        "two products": {"seconds": median(lambda: products(on_device, vectors), _ROUNDS.value)}
    }
    with jax.enable_x64(True):
        # Not of a simpler matrix: LAPACK's time depends on the eigenvalues.
        tall = jnp.asarray(rows if count >= width else rows.T, jnp.float64)
        gram = tall.T @ tall
        eigh = jax.jit(jnp.linalg.eigh)
        found["eigh"] = {"seconds": median(lambda: eigh(gram), _ROUNDS.value)}
    indices = np.unique(np.linspace(0, count - 1, 20).astype(int))
    exact = reference(rows, indices)
    for solver in (Secular(), AdaptiveSecular(), MaskedPower()):
        if isinstance(solver, MaskedPower) and count > _MOST_ROWS_OF_MASKED_POWER:
            continue
        result = examine(on_device, solver=solver)
        gap, bound = np.asarray(result.gap, np.float64), np.asarray(result.error_bound, np.float64)
        large = gap > 0.01 * gap.max()
        seconds = median(lambda solver=solver: examine(on_device, solver=solver).gap, _ROUNDS.value)  # type: ignore[misc]
        path, steps = Path(int(result.diagnostics.path)).name, int(result.diagnostics.iterations)
        found[type(solver).__name__] = {
            "seconds": seconds,
            "path": path,
            "error_of_largest_gap": float(np.abs(gap[indices] - exact).max() / gap.max()),
            "bound_of_largest_gap": float(bound.max() / gap.max()),
            "bound_of_own_gap": float((bound[large] / gap[large]).max()),
        }
        least = 4 * count * width * wide / ceiling["operations_a_second"]
        if path == "KRYLOV":
            least = (2 + steps) * rows.nbytes / ceiling["bytes_a_second"]
        found[type(solver).__name__]["share_of_ceiling"] = least / seconds
    return found


def main(_: list[str]) -> None:
    record: dict[str, Any] = {
        "machine": {
            "device": str(jax.devices()[0].device_kind),
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "clock": _CLOCK.value,
            "load_at_the_begin": os.getloadavg()[0],
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
        "sizes": {},
    }
    for text in _SIZES.value:
        size = tuple(map(int, text.split("x")))
        entry = record["sizes"][text] = {"ceilings": ceilings(size[1])}
        for spectrum in _SPECTRA.value:
            rows = features((size[0], size[1]), spectrum)
            entry[spectrum] = solvers(rows, entry["ceilings"])
            write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")
            for name, values in entry[spectrum].items():
                print(f"{text:12s} {spectrum:9s} {name:16s}", json.dumps(values), flush=True)
        if size[0] <= _MOST_ROWS_OF_MASKED_POWER:
            entry["loops, scaled from a few rows"] = loops(features((size[0], size[1]), "gaussian"))
            print(f"{text:12s}", json.dumps(entry["loops, scaled from a few rows"]), flush=True)
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
