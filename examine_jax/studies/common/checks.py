"""Checks that the settings of every study share."""

import math


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Raises:
    ValueError: no seed, a negative one, or one given twice.
    """
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds {seeds}: give one at least, different ones from 0 up")


def check_length(steps: int | None, minutes: float | None) -> None:
    """Raises:
    ValueError: both lengths of a training are given, or one is not positive.
    """
    if steps is not None and minutes is not None:
        raise ValueError("give either steps or minutes of training")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"minutes of training must be above 0, got {minutes}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
