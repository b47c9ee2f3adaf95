"""What is usual: robust centres and deviations, in a set or among its most similar images."""

import numpy as np
from scipy.spatial import cKDTree

from examine_jax.common.shapes import Bool, Float, Int
from examine_jax.images.decoding.parallel import available_cores
from examine_jax.quality.measures import Columns

# How many similar images say what is usual. Fewer are noisy, more are less similar.
_ALIKE = 100
_BLOCK = 4096
_ROUNDS = 20
# A kind of picture has so many images at least, and so large a share: a few damaged images that are
# alike are no kind of their own.
FEWEST_OF_KIND = 50
_SHARE_OF_KIND = 0.15
# Between two kinds lie fewer images than this share of what two overlapping ones would have.
_VALLEY = 0.25
# A picture has colour if its mean red - green or yellow - blue is so many grey levels: noise in
# colour has none.
COLOURED = 3.0
# A median's distance to the quartiles, and to the 90% quantile, of a normal distribution.
_QUARTILE, _NINETIETH = 0.6745, 1.2816
# The share of a normal distribution that lies more than one standard deviation below its mean.
_ONE_BELOW = 0.1587


def centre_and_deviation(
    values: Float[np.ndarray, " n"],
    floor: float,
    *,
    deviations: float = np.inf,
    long_tail: bool = False,
) -> tuple[float, float]:
    """The median and a robust standard deviation: 1.4826 median absolute deviations.

    Values far above the median are left out first, until none is left out anew: those more than
    `deviations` above, as the values below the median have them, of which damage makes none. So a
    quarter of damaged images does not widen what is usual.

    Args:
        values: [N], N > 0.
        floor: the least deviation.
        deviations: larger values are left out.
        long_tail: nothing is left out, and the 90% quantile's distance counts if it is larger: of
            values that are mostly 0 the median absolute deviation says nothing.
    """
    kept = np.sort(values)
    for _ in range(0 if long_tail else _ROUNDS):
        centre = float(np.median(kept))
        below = max((centre - float(np.quantile(kept, _ONE_BELOW))), floor)
        within = int(np.searchsorted(kept, centre + deviations * below, side="right"))
        if within == len(kept):
            break
        kept = kept[:within]
    centre = float(np.median(kept))
    deviation = float(np.median(np.abs(kept - centre))) / _QUARTILE
    if long_tail:
        deviation = max(deviation, (float(np.quantile(kept, 0.9)) - centre) / _NINETIETH)
    return centre, max(deviation, floor)


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
        ranks = np.arange(1, min(count + 1, len(usual)) + 1)
        near = tree.query(place[rows], k=ranks, workers=available_cores())[1]
        found = values[usual][near]
        found[near == ordinal[rows, None]] = np.nan
        lone = np.isnan(found).all(axis=1)
        found[lone] = values[rows][lone, None]
        medians[rows] = np.nanmedian(found, axis=1)
    return values - medians


def kinds(columns: Columns) -> Int[np.ndarray, " n"]:
    """Numbers the kinds of pictures in a set: grey or colour, of one size, of one tint.

    Damage rarely changes these. Kinds of fewer than 50 images, or of less than 15%, are put
    together, and images of which half or more is empty join the largest kind: they are judged by
    the others.
    """
    count = len(columns["height"])
    found = np.zeros(count, np.int64)
    full = np.flatnonzero(columns["empty_share"] < 0.5)
    least = max(float(FEWEST_OF_KIND), _SHARE_OF_KIND * len(full))
    if len(full) < 2 * least:
        return found
    tint = np.stack([columns["red_green"], columns["yellow_blue"]], axis=1)[full]
    coloured = np.abs(tint).max(axis=1) > COLOURED
    shape = np.stack([columns["height"][full], columns["width"][full], coloured], axis=1)
    codes = np.unique(shape, axis=0, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(codes)
    codes[sizes[codes] < least] = sizes.argmax()
    # Relative to brightness: a darker picture of the same tint is of the same kind.
    tint = tint / (columns["brightness"][full, None] + 8)
    waiting = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    parts = []
    while waiting:
        rows = waiting.pop()
        half = _two_kinds(tint[rows], least)
        if half is None:
            parts.append(rows)
        else:
            waiting += [rows[half], rows[~half]]
    for number, rows in enumerate(sorted(parts, key=len, reverse=True)):
        found[full[rows]] = number
    return found


def _two_kinds(tint: Float[np.ndarray, "n 2"], least: float) -> Bool[np.ndarray, " n"] | None:
    """Which rows are of the first of two kinds, or None if there is no gap between any two."""
    if len(tint) < 2 * least:
        return None
    best: tuple[float, np.ndarray] | None = None
    for turn in range(8):
        angle = np.pi * turn / 8
        along = tint @ np.array([np.cos(angle), np.sin(angle)])
        low, high = np.quantile(along, [0.02, 0.98])
        if high - low < 0.1:
            continue
        counts = np.histogram(along, bins=32, range=(low, high))[0].astype(np.float64)
        counts = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
        below = np.cumsum(counts)
        for cut in range(3, 29):
            depth = counts[cut] / max(min(counts[:cut].max(), counts[cut + 1 :].max()), 1.0)
            sides = min(below[cut], below[-1] - below[cut])
            if depth <= _VALLEY and sides >= least and (best is None or depth < best[0]):
                edge = low + (cut + 0.5) * (high - low) / 32
                best = depth, along <= edge
    return None if best is None else best[1]
