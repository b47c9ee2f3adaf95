"""Checks that the settings of every study share."""

import math


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Checks the seeds of a study.

    Raises:
        ValueError: there is no seed, a seed is negative, or a seed is given twice.
    """
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds {seeds}: give at least one; all must be different, and 0 or more")


def check_length(steps: int | None, minutes: float | None) -> None:
    """Checks the length of a study's trainings.

    Raises:
        ValueError: both `steps` and `minutes` are given, or one of them is not positive.
    """
    if steps is not None and minutes is not None:
        raise ValueError("give either steps or minutes of training")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"minutes of training must be above 0, got {minutes}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
