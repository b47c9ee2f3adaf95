"""Median times of pytest-benchmark."""

import math
from typing import Any


def median_seconds(benchmark: Any) -> float:
    """Returns the median time of a round in seconds; NaN with `--benchmark-disable`."""
    return math.nan if benchmark.stats is None else benchmark.stats.stats.median
