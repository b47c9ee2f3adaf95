"""Figures over seeds as text, and a test of whether an encoder is better than its control."""

from collections.abc import Sequence

import numpy as np


def learned(values: Sequence[float], control: Sequence[float]) -> bool | None:
    """Whether an encoder's figures are above its control's by more than two standard errors.

    True if mean(d) > 2 · sd(d) / sqrt(n). d holds the n differences between encoder and control,
    one per seed; both have the same split in a seed.

    Args:
        values: the encoder's figures, one per seed.
        control: the untrained encoder's figures for the same seeds, in the same order.

    Returns:
        None for fewer than two seeds, which have no standard error.
    """
    if len(values) < 2:
        return None
    gain = np.subtract(values, control)
    return bool(gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)))


def mean_sd(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds; for one seed, only its value."""
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"
