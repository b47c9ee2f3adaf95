"""k-means on the grid of points: exact distances, and the same clusters on every machine."""

import numpy as np

from examine_jax.common.shapes import Int
from examine_jax.selection.distances import nearest_centres
from examine_jax.selection.points import Points, points_of_rows

_ROWS_AT_ONCE = 8192


def k_means(
    points: Points, start: Points, *, iterations: int, fixed: int = 0
) -> tuple[Points, Int[np.ndarray, " n"]]:
    """Lloyd's algorithm: each centre becomes the mean of the points that are nearest to it.

    Means are rounded to the grid. A centre without points stays where it is.

    Args:
        points: N points.
        start: K >= 1 centres to start from.
        iterations: at most so many; fewer if the clusters no longer change.
        fixed: the first so many centres do not move.

    Returns:
        The centres, and each point's nearest one [N].

    Source: Lloyd, Least squares quantization in PCM, 1982.
    """
    centres, cluster = start, nearest_centres(points, start)[0]
    for _ in range(iterations):
        rows = _means(points, cluster, centres.rows)
        rows[:fixed] = start.rows[:fixed]
        moved = points_of_rows(rows, points.unit)
        found = nearest_centres(points, moved)[0]
        centres = moved
        if np.array_equal(found, cluster):
            break
        cluster = found
    return centres, cluster


def _means(
    points: Points, cluster: Int[np.ndarray, " n"], others: Int[np.ndarray, "k d"]
) -> Int[np.ndarray, "k d"]:
    """The mean of each cluster's points, rounded; that of `others` for an empty cluster."""
    sums = np.zeros(others.shape, np.int64)
    for start in range(0, len(points), _ROWS_AT_ONCE):
        own = cluster[start : start + _ROWS_AT_ONCE]
        order = np.argsort(own, kind="stable")
        names, firsts = np.unique(own[order], return_index=True)
        block = points.rows[start : start + _ROWS_AT_ONCE][order]
        sums[names] += np.add.reduceat(block, firsts, axis=0, dtype=np.int64)
    sizes = np.bincount(cluster, minlength=len(others))
    means = np.rint(sums / np.maximum(sizes, 1)[:, None]).astype(others.dtype)
    return np.where(sizes[:, None] > 0, means, others)
