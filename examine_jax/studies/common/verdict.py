"""Figures over seeds as text, and the verdict whether an encoder learned anything."""

from collections.abc import Sequence

import numpy as np


def learned(values: Sequence[float], control: Sequence[float]) -> bool | None:
    """Whether an encoder's figures are clearly above its control's.

    True if mean(d) > 2 · sd(d) / sqrt(n), where d are the differences of the same seeds, and so of
    the same split.

    Args:
        values: one a seed.
        control: random initialisation's of the same seeds, in the same order.

    Returns:
        None if fewer than two seeds are given: they have no standard error.
    """
    if len(values) < 2:
        return None
    gain = np.subtract(values, control)
    return bool(gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)))


def mean_sd(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds; of one seed, its value."""
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"
