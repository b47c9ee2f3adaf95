"""What the benchmarks of speed share."""

import math
import pathlib
import platform
from typing import Any


def median_seconds(benchmark: Any) -> float:
    """Returns the median time of a round in seconds; NaN with `--benchmark-disable`."""
    return math.nan if benchmark.stats is None else benchmark.stats.stats.median


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
