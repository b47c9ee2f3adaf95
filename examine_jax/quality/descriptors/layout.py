"""Where light and dark lie: from block means, a picture's small copy."""

import functools
import math

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, Shaped

BLOCK = 8
_ANGLES = 8
_EMPTY = 8


def block_means(plane: Shaped[np.ndarray, "h w"]) -> Float[np.ndarray, "p q"]:
    """Means of 8 x 8 blocks. What is left over at the right and lower edge does not count.

    A side below 8 is one block.
    """
    sides = [max(side // BLOCK, 1) for side in plane.shape]
    block = [min(side, BLOCK) for side in plane.shape]
    inner = plane[: sides[0] * block[0], : sides[1] * block[1]]
    rows = inner.reshape(sides[0], block[0], -1).sum(axis=1, dtype=np.int32)
    return rows.reshape(sides[0], sides[1], block[1]).sum(axis=2) / (block[0] * block[1])


def empty_share(plane: Shaped[np.ndarray, "h w"]) -> float:
    """The share of 8 x 8 blocks within which grey levels differ by less than 8: nothing is there.

    Glass, air and a frame's black are empty; so are parts of a very blurred picture.
    """
    sides = [max(side // BLOCK, 1) for side in plane.shape]
    block = [min(side, BLOCK) for side in plane.shape]
    inner = plane[: sides[0] * block[0], : sides[1] * block[1]]
    rows = inner.reshape(sides[0], block[0], -1)
    shape = sides[0], sides[1], block[1]
    highest = rows.max(axis=1).reshape(shape).max(axis=2)
    lowest = rows.min(axis=1).reshape(shape).min(axis=2)
    return np.count_nonzero(highest - lowest < _EMPTY) / highest.size


def middle(values: Float[np.ndarray, "..."]) -> float:
    """The upper median, without NumPy's cost for small arrays."""
    return float(np.sort(values, axis=None)[values.size // 2])


def coherence(means: Float[np.ndarray, "p q"]) -> float:
    """How much the large gradients agree in direction: 0 none, 1 a single straight edge.

    Source: the structure tensor's coherence, Bigün and Granlund, ICCV 1987.
    """
    if min(means.shape) < 3:
        return 0.0
    across = means[1:-1, 2:] - means[1:-1, :-2]
    down = means[2:, 1:-1] - means[:-2, 1:-1]
    xx, yy, xy = (across * across).sum(), (down * down).sum(), (across * down).sum()
    total = xx + yy
    return float(math.hypot(xx - yy, 2 * xy) / total) if total > 1e-9 else 0.0


def dark_band(means: Float[np.ndarray, "p q"]) -> float:
    """How much darker than the median the darkest straight line across is, in grey levels.

    Lines of 8 directions with at least half as many blocks as the longest. A fold, a pen stroke or
    a border is such a line.
    """
    return middle(means) - float(_line_means(means).min())


def crossing_band(means: Float[np.ndarray, "p q"]) -> float:
    """How much darker a straight line across is than what lies on both sides, in grey levels.

    Of a line counts its lightest block and half its range above that, as ink covers evenly; of each
    side its lightest line. So a spot is no band, as each line through it ends in the light; nor is
    a dark corner or border, which has a light side only once. A pen stroke and a fold are bands
    from edge to edge. Lines are those of `dark_band`; those of the sides may be half as long.
    Pictures of fewer than 3 x 3 blocks get 0.

    Source: a valley has higher ground on both sides: Haralick, "Ridges and valleys on digital
    images", Computer Vision, Graphics, and Image Processing 22(1), 1983.
    """
    if min(means.shape) < 3:
        return 0.0
    blocks, starts, counts, sides, long = _crossings(means.shape)
    levels = means.ravel()[blocks]
    on_average = np.append(np.add.reduceat(levels, starts) / counts, -np.inf)[sides]
    lightest = np.maximum.reduceat(levels, starts)
    uneven = (lightest - np.minimum.reduceat(levels, starts)) / 2
    level = np.append(lightest + uneven, np.inf)[long]
    before = np.maximum.accumulate(on_average[:-2], axis=0)
    after = np.maximum.accumulate(on_average[:1:-1], axis=0)[::-1]
    return float((np.minimum(before, after) - level[1:-1]).max())


def centre_minus_border(means: Float[np.ndarray, "p q"]) -> float:
    """The mean of the central half of the sides less that of the rest, in grey levels."""
    height, width = means.shape
    if min(height, width) < 4:
        return 0.0
    centre = means[height // 4 : height - height // 4, width // 4 : width - width // 4]
    rest = means.sum() - centre.sum()
    return float(centre.mean() - rest / (means.size - centre.size))


def straight_step(grey: Int[np.ndarray, "h w"]) -> float:
    """The largest step between means of adjacent rows or columns, over the median step.

    A seam of stitched tiles, a collimator's edge or a frame is such a step. The median counts as a
    quarter of a grey level at least.
    """
    found = 1.0
    for axis in (0, 1):
        # Exact for sides below 8 million.
        sums = np.add.reduce(grey, axis=axis, dtype=np.int32)
        steps = np.sort(np.abs(sums[1:] - sums[:-1])) / grey.shape[axis]
        if len(steps) > 2:
            found = max(found, float(steps[-1] / max(steps[len(steps) // 2], 0.25)))
    return found


def seam_share(grey: Int[np.ndarray, "h w"]) -> float:
    """How much one row or column stands out as a place of steps: a seam of stitched fields.

    At each place between two rows, the share of columns in which the step across is larger than
    each of the four steps next to it: about a fifth where there is nothing, whatever the texture
    and its contrast. The largest share less the fourth largest, so that the edges of JPEG's blocks
    do not count; the larger one of rows and columns. Pictures with a side below 10 get 0.

    Source: a sign test (Arbuthnott 1710; Conover, Practical nonparametric statistics, 1999) of
    steps at one place against those at its neighbours.
    """
    if min(grey.shape) < 10:
        return 0.0
    found = 0
    for turned in (grey, grey.T):
        steps = np.abs(np.subtract(turned[1:], turned[:-1], dtype=np.int16))
        pairs = np.maximum(steps[:-1], steps[1:])
        before, after = pairs[:-3], pairs[3:]
        # With texture on both sides: a frame's edge is no seam.
        larger = (steps[2:-2] > np.maximum(before, after)) & (np.minimum(before, after) > 2)
        shares = np.sort(np.add.reduce(larger, axis=1, dtype=np.int32))
        found = max(found, (int(shares[-1]) - int(shares[-4])) / turned.shape[1])
    return float(found)


def _line_means(means: Float[np.ndarray, "p q"]) -> Float[np.ndarray, " lines"]:
    lines, counts, keep = _lines(means.shape)
    weights = np.concatenate([means.ravel()] * _ANGLES)
    return np.bincount(lines, weights=weights)[keep] / counts


@functools.lru_cache(maxsize=64)
def _crossings(
    shape: tuple[int, int],
) -> tuple[
    Int[np.ndarray, " places"],
    Int[np.ndarray, " lines"],
    Int[np.ndarray, " lines"],
    Int[np.ndarray, "most angles"],
    Int[np.ndarray, "most angles"],
]:
    """The blocks of lines of a quarter of the greatest length or more, line by line.

    Then where each line starts, how many blocks it has, the number of the line at each place of
    each direction, and the same for lines of half the greatest length. There, the number is one
    beyond the last where there is no such line.
    """
    lines, all_counts = _all_lines(shape)
    keep = all_counts >= all_counts.max() / 4
    counts = all_counts[keep]
    blocks = np.flatnonzero(keep[lines])
    blocks = blocks[np.argsort(lines[blocks], kind="stable")]
    starts = np.cumsum(counts) - counts
    direction = blocks[starts] // math.prod(shape)
    num = np.bincount(direction, minlength=_ANGLES)
    sides = np.full((max(num), _ANGLES), len(counts))
    for turn in range(_ANGLES):
        sides[: num[turn], turn] = np.flatnonzero(direction == turn)
    is_long = np.append(counts >= counts.max() / 2, False)
    return (
        blocks % math.prod(shape),
        starts,
        counts,
        sides,
        np.where(is_long[sides], sides, len(counts)),
    )


@functools.lru_cache(maxsize=64)
def _lines(
    shape: tuple[int, int],
) -> tuple[Int[np.ndarray, " places"], Int[np.ndarray, " long"], Bool[np.ndarray, " lines"]]:
    """The line of each block in each direction, the blocks of long lines, and which are long.

    A line is long if it has at least half as many blocks as the longest.
    """
    lines, counts = _all_lines(shape)
    keep = counts >= counts.max() / 2
    return lines, counts[keep], keep


def _all_lines(
    shape: tuple[int, int],
) -> tuple[Int[np.ndarray, " places"], Int[np.ndarray, " lines"]]:
    """The line of each block in each direction, and how many blocks each line has."""
    rows, columns = np.indices(shape)
    found, first = [], 0
    for turn in range(_ANGLES):
        angle = math.pi * turn / _ANGLES
        place = np.rint(rows * math.cos(angle) + columns * math.sin(angle)).astype(np.int64).ravel()
        place -= place.min()
        found.append(place + first)
        first += int(place.max()) + 1
    lines = np.concatenate(found)
    return lines, np.bincount(lines, minlength=first)
