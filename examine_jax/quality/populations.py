"""What is usual: robust centres and deviations, in a set or among its most similar images."""

import numpy as np
from scipy.spatial import cKDTree

from examine_jax.common.shapes import Float, Int

# How many similar images say what is usual. Fewer are noisy, more are less similar.
_ALIKE = 100
_BLOCK = 4096
_ROUNDS = 20
# A median's distance to the quartiles, and to the 90% quantile, of a normal distribution.
_QUARTILE, _NINETIETH = 0.6745, 1.2816


def centre_and_deviation(
    values: Float[np.ndarray, " n"],
    floor: float,
    *,
    deviations: float = np.inf,
    long_tail: bool = False,
) -> tuple[float, float]:
    """The median and a robust standard deviation: 1.4826 median absolute deviations.

    Both are computed again without the values that lie more than `deviations` above the median,
    until none is left out anew. So a quarter of damaged images does not widen what is usual. Long
    tails are computed once: they would be cut off piece by piece.

    Args:
        values: [N], N > 0.
        floor: the least deviation.
        deviations: larger values are left out.
        long_tail: the 90% quantile's distance counts if it is larger: of values that are mostly 0
            the median absolute deviation says nothing.
    """
    kept = np.sort(values)
    for _ in range(_ROUNDS):
        centre = float(np.median(kept))
        deviation = float(np.median(np.abs(kept - centre))) / _QUARTILE
        if long_tail:
            deviation = max(deviation, (float(np.quantile(kept, 0.9)) - centre) / _NINETIETH)
        deviation = max(deviation, floor)
        within = int(np.searchsorted(kept, centre + deviations * deviation, side="right"))
        if long_tail or within == len(kept):
            break
        kept = kept[:within]
    return centre, deviation


def above_alike(
    values: Float[np.ndarray, " n"],
    place: Float[np.ndarray, "n p"],
    usual: Int[np.ndarray, " m"],
) -> Float[np.ndarray, " n"]:
    """Each value less the median of the 100 usual images nearest to it in `place`.

    An image is not compared with itself, so that one of few is not its own measure.
    """
    count = min(_ALIKE, len(usual))
    tree = cKDTree(place[usual])
    ordinal = np.full(len(values), -1)
    ordinal[usual] = np.arange(len(usual))
    medians = np.empty(len(values))
    for start in range(0, len(values), _BLOCK):
        rows = slice(start, start + _BLOCK)
        near = tree.query(place[rows], k=np.arange(1, min(count + 1, len(usual)) + 1))[1]
        found = values[usual][near]
        found[near == ordinal[rows, None]] = np.nan
        lone = np.isnan(found).all(axis=1)
        found[lone] = values[rows][lone, None]
        medians[rows] = np.nanmedian(found, axis=1)
    return values - medians
