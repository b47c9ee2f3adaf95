"""A hash that nearly equal pictures share: 64 bits, compared by the number that differ."""

import functools

import numpy as np

from examine_jax.common.shapes import Int, Shaped

_SIDE = 8


def difference_hash(grey: Shaped[np.ndarray, "h w"]) -> tuple[int, int]:
    """64 bits as two numbers of 32: is the mean of a cell larger than that of its left neighbour?

    The picture is cut into 8 rows of 9 cells. Copies at another size, compression or brightness
    differ in few bits. Pictures of fewer than 8 rows or 9 columns get 0.

    Source: Krawetz, "Kind of like that", 2013 (dHash).
    """
    height, width = grey.shape
    if height < _SIDE or width < _SIDE + 1:
        return 0, 0
    (rows, _), (columns, widths) = _cells(height, _SIDE), _cells(width, _SIDE + 1)
    sums = np.add.reduceat(grey, rows, axis=0, dtype=np.int32)
    sums = np.add.reduceat(sums, columns, axis=1, dtype=np.int64)
    # Means of cells of unequal widths, without fractions.
    larger = sums[:, 1:] * widths[:-1] > sums[:, :-1] * widths[1:]
    first, second = np.packbits(larger).view(">u4")
    return int(first), int(second)


@functools.lru_cache(maxsize=64)
def _cells(side: int, count: int) -> tuple[Int[np.ndarray, " count"], Int[np.ndarray, " count"]]:
    """Where so many cells of a side begin, and their sizes."""
    edges = np.arange(count + 1) * side // count
    return edges[:-1], np.diff(edges)


def differing_bits(
    first: Int[np.ndarray, "n 2"], second: Int[np.ndarray, "n 2"]
) -> Int[np.ndarray, " n"]:
    """How many of the 64 bits differ, row by row."""
    both = np.bitwise_xor(first.astype(np.uint32), second.astype(np.uint32))
    return np.bitwise_count(both).sum(axis=1, dtype=np.int64)
