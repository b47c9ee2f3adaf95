"""Times direct calls of the scorer with one BLAS thread, and with as many as BLAS takes, in turns.

python -m benchmarks.speed.blas_threads --output=benchmarks/results/FILE.json [--rounds=9]

Medians, on features in which no direction stands out. The ratio is the median of the rounds'
ratios: in each round both are measured, one after the other.
"""

import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.speed.bench_scoring import features
from benchmarks.speed.timing import processor
from examine_jax.common.atomic_files import write_text
from examine_jax.scoring import SpectralSummary, examine, examine_groups
from examine_jax.scoring.equations import blas_threads

_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Of each.", lower_bound=1)


def calls() -> dict[str, Callable[[], Any]]:
    small, middle = (jnp.asarray(features(size, "gaussian")) for size in ((1000, 384), (5000, 768)))
    summary = SpectralSummary.of(small)
    groups = np.arange(1000) % 200
    return {
        "examine, 1,000 x 384": lambda: examine(small),
        "examine, 5,000 x 768": lambda: examine(middle),
        "examine_groups, 200 groups of 1,000 x 384": lambda: examine_groups(
            small, groups, num_groups=200
        ),
        "SpectralSummary.spectrum, 384 columns": lambda: summary.spectrum(),
    }


def seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin


def main(_: list[str]) -> None:
    found = {}
    for name, call in calls().items():
        jax.block_until_ready(call())
        times = np.empty((2, _ROUNDS.value))
        for each in range(_ROUNDS.value):
            times[0, each] = seconds(call)
            with mock.patch.object(blas_threads, "SMALL", 0):  # no call counts as small
                times[1, each] = seconds(call)
        one, all_ = np.median(times, 1)
        found[name] = {
            "one_thread_seconds": one,
            "all_threads_seconds": all_,
            "ratio": float(np.median(times[1] / times[0])),
        }
        print(name, found[name], flush=True)
    record = {
        "machine": {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load_at_the_end": os.getloadavg()[0],
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
        "calls": found,
    }
    write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
