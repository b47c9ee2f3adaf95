"""Time and memory of exact nearest neighbours, beside scikit-learn's brute force.

    python -m benchmarks.speed.nearest_neighbours --output=benchmarks/results/FILE.json \
        [--rows=100000] [--queries=20000] [--compared=2000]

After a warm-up, our function answers all queries; the peak memory counts from the process's peak
before. Then both libraries answer the first `--compared` queries in turn, three times. scikit-learn
gets float32 features, which it multiplies in float64 as we do. Times are CPU seconds, which other
load on the machine hardly affects.
"""

import json
import pathlib
import resource
import time
from collections.abc import Callable

import jax
import numpy as np
from absl import app, flags
from sklearn.neighbors import NearestNeighbors

from examine_jax.common.atomic_files import write_text
from examine_jax.features.neighbours import nearest_neighbours
from examine_jax.reporting.page import package_versions

_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)
_ROWS = flags.DEFINE_integer("rows", 100_000, "Training images.", lower_bound=200)
_QUERIES = flags.DEFINE_integer("queries", 20_000, "Query images.", lower_bound=1)
_COMPARED = flags.DEFINE_integer(
    "compared", 2_000, "The number of queries that scikit-learn answers too.", lower_bound=1
)

_WIDTH, _K, _ROUNDS = 2048, 200, 3


def main(arguments: list[str]) -> None:
    del arguments
    train, queries = _features(_ROWS.value, 0), _features(_QUERIES.value, 1)
    some = queries[: _COMPARED.value]
    theirs = NearestNeighbors(n_neighbors=_K, algorithm="brute").fit(train)
    nearest_neighbours(train[:1000], queries[:10], k=_K)
    before = _peak_bytes()
    (all_found, _), whole = _timed(lambda: nearest_neighbours(train, queries, k=_K))
    after = _peak_bytes()

    theirs.kneighbors(some[:100])
    seconds: dict[str, list[float]] = {"examine_jax": [], "scikit-learn": []}
    for _ in range(_ROUNDS):
        (found, near), ours = _timed(lambda: nearest_neighbours(train, some, k=_K))
        (far, indices), other = _timed(lambda: theirs.kneighbors(some))
        seconds["examine_jax"].append(ours)
        seconds["scikit-learn"].append(other)
    record = {
        "what": f"{_K} nearest of {len(train)} rows of {_WIDTH} float32 features in ten classes, "
        f"to {len(queries)} rows",
        "cpu_seconds": {"rows": len(some)} | seconds,
        "scikit_learn_over_examine_jax": [
            their / our for our, their in zip(seconds["examine_jax"], seconds["scikit-learn"])
        ],
        "same_neighbours": float((found == indices).mean()),
        "largest_relative_difference_of_distances": float((np.abs(near - far) / far).max()),
        "whole_cpu_seconds": whole,
        "peak_mib_beyond_before": (after - before) / 2**20,
        "answer_mib": all_found.nbytes * 2 / 2**20,
        "distances_mib": len(train) * len(queries) * 8 / 2**20,
        "device": str(jax.devices()[0]),
        "versions": package_versions(),
    }
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def _features(count: int, seed: int) -> np.ndarray:
    """Ten classes that overlap; the directions of the classes are the same for every seed."""
    classes = np.random.default_rng(12345).standard_normal((10, _WIDTH), dtype=np.float32)
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((count, _WIDTH), dtype=np.float32)
    for start in range(0, count, 1_000):
        rows[start : start + 1_000] += (
            0.2 * classes[generator.integers(10, size=len(rows[start : start + 1_000]))]
        )
    return rows


def _timed(
    job: Callable[[], tuple[np.ndarray, np.ndarray]],
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    begin = time.process_time()
    result = job()
    return result, time.process_time() - begin


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    app.run(main)
