"""What valuers without labels share.

Higher is better, and better means ordinary: near what most rows are. Whether ordinary or unusual
rows are the ones to label depends on the budget; negate a value to prefer unusual rows.
"""

from typing import Any

import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.valuation import Progress, Valuation, check_features, seed_of

MOST_ROWS_OF_PAIRS = 20_000  # a valuer that holds every pair's distance takes no more rows
_DISTANCES_AT_ONCE = 2**22


class LabelFree:
    """`Valuer.value` for valuers that need features alone.

    A subclass computes `_values`; it takes moments and keeps no state.
    """

    def value(
        self,
        features: Float[np.ndarray, "n d"],
        labels: Int[np.ndarray, " n"] | None = None,
        key: Any = None,
        *,
        on_progress: Progress | None = None,
        state: Any = None,
    ) -> Valuation:
        """As `Valuer.value`; labels are ignored."""
        check_features(features)
        values = self._values(native(features), key)
        if on_progress is not None:
            on_progress(len(features), len(features))
        return Valuation(np.asarray(values, np.float64))

    def _values(self, features: Any, key: Any) -> Any:
        raise NotImplementedError


def unit_rows(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows scaled to length 1, float64; rows of zeros stay."""
    rows = features.astype(np.float64)
    rows = np.ldexp(rows, -np.frexp(np.abs(rows).max(axis=1, keepdims=True))[1])
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def kmeans_centres(rows: Any, clusters: int, key: Any) -> tuple[Any, Any]:
    """(centroids, each row's cluster) by scikit-learn; empty clusters are left out."""
    from sklearn.cluster import KMeans

    clusters = min(clusters, len(np.unique(rows, axis=0)))
    seed = int(seed_of(key, 0).integers(2**31))
    found = KMeans(clusters, n_init=4, random_state=seed).fit(rows)
    return found.cluster_centers_, found.labels_


def mean_nearest(rows: Any, k: int, *, cosine: bool) -> Any:
    """[N] the mean distance, cosine or Euclidean, to the k nearest other rows.

    Rows are of length 1 or zeros. If there are fewer other rows, all count.
    """
    count = len(rows)
    k = min(k, count - 1)
    found = np.empty(count)
    size = max(1, _DISTANCES_AT_ONCE // count)
    squares = SquaredDistances(rows)
    for start in range(0, count, size):
        block = squares.of_rows(start, start + size)
        distance = squares.cosine(block, start) if cosine else np.sqrt(block)
        at = np.arange(len(distance))
        distance[at, start + at] = np.inf
        found[start : start + size] = np.partition(distance, k - 1, axis=1)[:, :k].mean(axis=1)
    return found


class SquaredDistances:
    """Squared Euclidean and cosine distances between rows of length 1.

    They are computed from the rows less their mean: rows that are almost alike, as those of
    features with a large common offset are, keep their distances, where one minus a cosine would
    be nothing but rounding.

    Args:
        rows: [N, D] of length 1, or zeros.
        others: [M, D] likewise; None: the rows themselves.
    """

    def __init__(self, rows: Any, others: Any = None) -> None:
        self._rows, *rest = _from_their_mean(rows, *([] if others is None else [others]))
        self._others = rest[0] if rest else self._rows
        self._norms = np.sum(self._rows**2, axis=1)
        self._other_norms = np.sum(self._others**2, axis=1)
        # |u - v|^2 / 2 is one minus the cosine for rows of length 1. A row of zeros has cosine 0
        # with every row.
        self._missing = (~rows.any(axis=1)) / 2
        self._others_missing = self._missing if others is None else (~others.any(axis=1)) / 2

    def of_rows(self, start: int, stop: int) -> Any:
        """[stop - start, M] squared Euclidean distances of these rows."""
        squares = (
            self._norms[start:stop, None]
            + self._other_norms
            - 2 * self._rows[start:stop] @ self._others.T
        )
        return np.maximum(squares, 0.0)

    def cosine(self, squares: Any, start: int) -> Any:
        """[n, M] one minus the cosine, of the squared distances of the rows from `start` on."""
        missing = self._missing[start : start + len(squares), None] + self._others_missing
        return squares / 2 + missing


def _from_their_mean(*matrices: Any) -> list[Any]:
    mean = matrices[0].mean(axis=0)
    return [matrix - mean for matrix in matrices]


def cosine_distances(features: Any) -> Any:
    """[N, N] one minus the cosine, of every pair of rows; 1 where a row is zeros.

    Raises:
        ValueError: more than `MOST_ROWS_OF_PAIRS` rows.
    """
    if len(features) > MOST_ROWS_OF_PAIRS:
        raise ValueError(
            f"{len(features)} rows: every pair's distance would be held; use at most "
            f"{MOST_ROWS_OF_PAIRS}, or KCentre"
        )
    squares = SquaredDistances(unit_rows(features))
    distances = squares.cosine(squares.of_rows(0, len(features)), 0)
    np.fill_diagonal(distances, 0.0)
    return distances


def values_of_order(order: Int[np.ndarray, " n"]) -> Any:
    """[N] the first row of a greedy order is worth N, the last 1."""
    values = np.empty(len(order))
    values[order] = len(order) - np.arange(len(order))
    return values


def check_count(count: int) -> None:
    """Raises: ValueError, where a number of neighbours or clusters is below 1."""
    if count < 1:
        raise ValueError(f"the number of neighbours or clusters must be at least 1, got {count!r}")
