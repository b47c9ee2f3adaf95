"""Brightness and contrast: from the 256 counts of a picture's grey levels."""

import numpy as np

from examine_jax.common.shapes import Int, Shaped, UInt8

CLIPPED = 5  # grey levels from black or white that count as black or white


def histogram(grey: Shaped[np.ndarray, "..."]) -> Int[np.ndarray, "256"]:
    """How many pixels have each of the 256 levels. Levels are integers of any type."""
    return np.bincount(grey.ravel(), minlength=256)


def mean_level(counts: Int[np.ndarray, "256"]) -> float:
    """The mean level."""
    return int(counts @ _LEVELS) / int(counts.sum())


def contrast(counts: Int[np.ndarray, "256"]) -> float:
    """The standard deviation of the levels (root mean square contrast).

    Source: Peli, "Contrast in complex images", JOSA A 7(10), 1990.
    """
    number = int(counts.sum())
    total, squares = int(counts @ _LEVELS), int(counts @ _SQUARES)
    return float(np.sqrt(squares * number - total**2)) / number


def quantiles(counts: Int[np.ndarray, "256"], shares: tuple[float, ...]) -> list[float]:
    """The lowest level below or at which so large a share of the pixels lies, for each share."""
    below = np.cumsum(counts)
    return [float(level) for level in np.searchsorted(below, np.array(shares) * below[-1])]


def entropy(counts: Int[np.ndarray, "256"]) -> float:
    """Shannon's entropy of the levels in bits, 0 to 8: low for pictures of little content."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def overexposed_share(lowest: UInt8[np.ndarray, "..."]) -> float:
    """The share of pixels that are white: the lowest of their channels is within 5 of 255."""
    return np.count_nonzero(lowest >= 255 - CLIPPED) / lowest.size


def clipped_share(highest: UInt8[np.ndarray, "..."]) -> float:
    """The share of pixels of which some channel is within 5 of 255."""
    return np.count_nonzero(highest >= 255 - CLIPPED) / highest.size


def underexposed_share(highest: UInt8[np.ndarray, "..."]) -> float:
    """The share of pixels that are black: the highest of their channels is within 5 of 0."""
    return np.count_nonzero(highest <= CLIPPED) / highest.size


_LEVELS = np.arange(256)
_SQUARES = _LEVELS**2
