"""Time and memory of a choice from many images.

    python -m benchmarks.speed.selection_size --output=benchmarks/results/FILE.json \
        [--rows=100000] [--width=256] [--budget=1000] [--strategy=k_means_medoids]

Features are a memory map, as `launch.select` opens them. Times are CPU seconds of all threads, with
the compilation of the programs. The peak memory counts from the process's peak before, which holds
the libraries; pages of the memory map count as memory of the process.
"""

import json
import pathlib
import resource
import tempfile
import time

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.page import package_versions
from examine_jax.selection import select, strategy_of

_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)
_ROWS = flags.DEFINE_integer("rows", 100_000, "Images.", lower_bound=100)
_WIDTH = flags.DEFINE_integer("width", 256, "Features.", lower_bound=1)
_BUDGET = flags.DEFINE_integer("budget", 1_000, "Images to choose.", lower_bound=1)
_STRATEGY = flags.DEFINE_string("strategy", "k_means_medoids", "How they are chosen.")

_AT_ONCE = 10_000


def main(arguments: list[str]) -> None:
    del arguments
    rows, width, budget = _ROWS.value, _WIDTH.value, _BUDGET.value
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "features.npy"
        _write(path, rows, width)
        features = np.load(path, mmap_mode="r")
        jax.block_until_ready(jax.numpy.zeros(3))
        before, begin = _peak_bytes(), time.process_time()
        found = select(features, budget, strategy=strategy_of(_STRATEGY.value))
        seconds, peak = time.process_time() - begin, _peak_bytes()
    record = {
        "what": f"{budget} of {rows} rows of {width} float32 features in 2,000 clusters",
        "strategy": _STRATEGY.value,
        "cpu_seconds": seconds,
        "features_mib": rows * width * 4 / 2**20,
        "peak_mib_beyond_before": (peak - before) / 2**20,
        "mean_squared_distance": float(np.square(found.distance).mean()),
        "facts": dict(found.facts),
        "device": str(jax.devices()[0]),
        "versions": package_versions(),
    }
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def _write(path: pathlib.Path, rows: int, width: int) -> None:
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, width))
    random = np.random.default_rng(0)
    centres = random.standard_normal((2_000, width), dtype=np.float32)
    for start in range(0, rows, _AT_ONCE):
        part = features[start : start + _AT_ONCE]
        part[:] = centres[random.integers(len(centres), size=len(part))]
        part += random.standard_normal(part.shape, dtype=np.float32)
    features.flush()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    app.run(main)
