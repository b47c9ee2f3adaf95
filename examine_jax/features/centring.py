"""Brings features near the origin and to a size whose squares neither overflow nor vanish."""

from typing import Any

import numpy as np

from examine_jax.common.shapes import Array, Float, Shaped

_ROWS_AT_ONCE = 1024


def centred_and_scaled(
    features: Float[np.ndarray, "n d"], *others: Float[np.ndarray, "_ d"]
) -> list[np.ndarray]:
    """Float64 copies of the matrices, moved and scaled alike: distances keep their ratios.

    The offset is a vector near the mean of the first matrix, the scale a power of two after which
    no entry is above 1 in size. A common offset costs no digits beyond those that the features'
    own rounding cost, and features of any finite size give the same result.

    Args:
        features: [N, D], finite.
        *others: [M, D], finite.

    Returns:
        The matrices, in the order given.
    """
    matrices = [np.asarray(matrix).astype(np.float64) for matrix in (features, *others)]
    # Twice: the second mean is that of small numbers, so it is far more exact than the first.
    for _ in range(2):
        scale = power_of_two_scale(max(_extent(matrix) for matrix in matrices))
        mean = near_mean(matrices[0], scale)
        matrices = [matrix * scale - mean for matrix in matrices]
    scale = power_of_two_scale(max(_extent(matrix) for matrix in matrices))
    return [matrix * scale for matrix in matrices]


def power_of_two_scale(largest: float) -> float:
    """A factor that brings `largest` to 1 or below: no square overflows, and no digit changes."""
    return float(2.0 ** -float(np.clip(np.frexp(largest)[1], -1022, 1022)))


def largest_entry(features: Shaped[Array | np.ndarray, "n d"], name: str) -> float:
    """The largest absolute entry. Raises ValueError where a row is not finite."""
    largest = 0.0
    for start in range(0, len(features), _ROWS_AT_ONCE):
        rows = np.asarray(features[start : start + _ROWS_AT_ONCE]).astype(np.float64)
        extent = np.maximum(rows.max(axis=1, initial=0), -rows.min(axis=1, initial=0))
        bad = np.flatnonzero(~np.isfinite(extent))
        if len(bad):
            raise ValueError(
                f"{name}: row {start + bad[0]} is not finite; leave that image out, or look at how "
                "it was embedded"
            )
        largest = max(largest, float(extent.max(initial=0)))
    return largest


def near_mean(features: Shaped[Array | np.ndarray, "n d"], scale: float) -> Float[np.ndarray, " d"]:
    """The mean of the scaled features, rounded to multiples of a power of two.

    The power of two is at most the column's standard deviation, so subtracting this removes a
    common offset as well as the mean does. Integers and other short numbers stay short: their
    products are not rounded, and equal distances come out equal. Of a column of one value it is
    that value.
    """
    total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    low, high = np.full(features.shape[1], np.inf), np.full(features.shape[1], -np.inf)
    for start in range(0, len(features), _ROWS_AT_ONCE):
        rows = np.asarray(features[start : start + _ROWS_AT_ONCE]).astype(np.float64) * scale
        total += rows.sum(axis=0)
        squares += np.einsum("nd,nd->d", rows, rows)
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    mean = total / len(features)
    deviation = np.sqrt(np.maximum(squares / len(features) - np.square(mean), 0))
    step = np.exp2(np.floor(np.log2(np.where(deviation > 0, deviation, 1))))
    rounded = np.where(deviation > 0, np.round(mean / step) * step, mean)
    return np.where(low == high, low, rounded)


def _extent(matrix: Any) -> float:
    return float(np.abs(matrix).max(initial=0))
