"""What valuers without labels share.

Higher is better, and better means ordinary: near what most rows are. Whether ordinary or unusual
rows are the ones to label depends on the budget; negate a value to prefer unusual rows.
"""

from typing import Any

import numpy as np

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
        values = self._values(features, key)
        if on_progress is not None:
            on_progress(len(features), len(features))
        return Valuation(np.asarray(values, np.float64))

    def _values(self, features: Any, key: Any) -> Any:
        raise NotImplementedError


def unit_rows(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows scaled to length 1, float64; rows of zeros stay."""
    rows = features.astype(np.float64)
    rows = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
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

    If there are fewer other rows, all count.
    """
    count = len(rows)
    k = min(k, count - 1)
    found = np.empty(count)
    size = max(1, _DISTANCES_AT_ONCE // count)
    for start in range(0, count, size):
        similar = rows[start : start + size] @ rows.T
        distance = 1 - similar
        if not cosine:
            norms = np.sum(rows**2, axis=1)
            distance = np.sqrt(
                np.maximum(norms[start : start + size, None] + norms[None] - 2 * similar, 0.0)
            )
        at = np.arange(len(distance))
        distance[at, start + at] = np.inf
        found[start : start + size] = np.partition(distance, k - 1, axis=1)[:, :k].mean(axis=1)
    return found


def cosine_similarities(features: Any) -> Any:
    """[N, N], of every pair of rows.

    Raises:
        ValueError: more than `MOST_ROWS_OF_PAIRS` rows.
    """
    if len(features) > MOST_ROWS_OF_PAIRS:
        raise ValueError(
            f"{len(features)} rows: every pair's distance would be held; use at most "
            f"{MOST_ROWS_OF_PAIRS}, or KCentre"
        )
    rows = unit_rows(features)
    return rows @ rows.T


def values_of_order(order: Int[np.ndarray, " n"]) -> Any:
    """[N] the first row of a greedy order is worth N, the last 1."""
    values = np.empty(len(order))
    values[order] = len(order) - np.arange(len(order))
    return values


def check_count(count: int) -> None:
    """Raises: ValueError, where a number of neighbours or clusters is below 1."""
    if count < 1:
        raise ValueError(f"the number of neighbours or clusters must be at least 1, got {count!r}")
