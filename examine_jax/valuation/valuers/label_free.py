"""Values that need no labels and no validation set. Higher is better, where better means ordinary: near what most rows are.

Whether the ordinary or the unusual rows are the ones to label depends on the budget; negate a value to prefer the unusual.
"""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.scoring import examine
from examine_jax.scoring.examine import Solver
from examine_jax.valuation.valuation import Progress, Valuation, check_features, seed_of

_AT_ONCE = 2**22  # distances


class _LabelFree:
    """The common signature: everything is in moments, so that nothing is told or kept."""

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


@dataclasses.dataclass(frozen=True)
class Random(_LabelFree):
    """Uniform draws: what every other valuer has to beat."""

    def _values(self, features: Any, key: Any) -> Any:
        return seed_of(key, 0).random(len(features))


@dataclasses.dataclass(frozen=True)
class Examine(_LabelFree):
    """EXAMINE: minus the gap, how much the top singular value falls without the row. (The score exp(-gap) has the same order, and ties.)

    Attributes:
        solver, center: as `scoring.examine`.

    Source: Huang, Lei & Li 2022, equation 3.
    """

    solver: Solver | None = None
    center: bool = False

    def _values(self, features: Any, key: Any) -> Any:
        return -np.asarray(examine(features, solver=self.solver, center=self.center).gap, np.float64)


@dataclasses.dataclass(frozen=True)
class Leverage(_LabelFree):
    """Minus the leverage h_i, the i-th diagonal entry of the projection onto the features' column space.

    Attributes:
        center: of the features less their mean.
        ridge: added to the scatter, relative to its largest eigenvalue. 0 gives the projection itself, under which all rows of a matrix
            with more columns than rows are alike.
    """

    center: bool = True
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        if not self.ridge >= 0:
            raise ValueError(f"ridge must not be negative, got {self.ridge!r}")

    def _values(self, features: Any, key: Any) -> Any:
        rows = features.astype(np.float64)
        left, singular, _ = np.linalg.svd(rows - rows.mean(0) if self.center else rows, full_matrices=False)
        if not singular[0] > 0:
            return np.zeros(len(rows))
        kept = singular > singular[0] * max(rows.shape) * np.finfo(np.float64).eps
        shrunk = singular[kept] ** 2 / (singular[kept] ** 2 + self.ridge * singular[0] ** 2)
        return -(left[:, kept] ** 2) @ shrunk


@dataclasses.dataclass(frozen=True)
class Mahalanobis(_LabelFree):
    """Minus the Mahalanobis distance to the mean; the covariance is shrunk as Ledoit and Wolf say (scikit-learn)."""

    def _values(self, features: Any, key: Any) -> Any:
        from sklearn.covariance import LedoitWolf

        estimate = LedoitWolf().fit(features.astype(np.float64))
        if not np.trace(estimate.covariance_) > 0:
            return np.zeros(len(features))
        return -np.sqrt(np.maximum(estimate.mahalanobis(features.astype(np.float64)), 0.0))


@dataclasses.dataclass(frozen=True)
class KNNDistance(_LabelFree):
    """Minus the mean cosine distance to the k nearest other rows.

    Attributes:
        k: neighbours; all others where there are fewer.
    """

    k: int = 10

    def __post_init__(self) -> None:
        _check_k(self.k)

    def _values(self, features: Any, key: Any) -> Any:
        rows = unit_rows(features)
        return -_mean_nearest(rows, self.k, cosine=True)


@dataclasses.dataclass(frozen=True)
class Typicality(_LabelFree):
    """One over the mean Euclidean distance to the k nearest other rows, rows scaled to length 1.

    Source: TypiClust, Hacohen et al. 2022, equation 4.
    """

    k: int = 20

    def __post_init__(self) -> None:
        _check_k(self.k)

    def _values(self, features: Any, key: Any) -> Any:
        return 1 / np.maximum(_mean_nearest(unit_rows(features), self.k, cosine=False), 1e-12)


@dataclasses.dataclass(frozen=True)
class PrototypeDistance(_LabelFree):
    """Minus the cosine distance to the nearest of k-means' centroids of the rows scaled to length 1 (scikit-learn's k-means).

    Attributes:
        clusters: how many; as many as rows where there are fewer.

    Source: Sorscher et al., Beyond neural scaling laws, 2022, section 4.1.
    """

    clusters: int = 10

    def __post_init__(self) -> None:
        _check_k(self.clusters)

    def _values(self, features: Any, key: Any) -> Any:
        rows = unit_rows(features)
        centroids = unit_rows(kmeans_centres(rows, self.clusters, key)[0])
        return (rows @ centroids.T).max(axis=1) - 1


def unit_rows(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows scaled to length 1, float64; rows of zeros stay."""
    rows = features.astype(np.float64)
    rows = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def kmeans_centres(rows: Any, clusters: int, key: Any) -> tuple[Any, Any]:
    """(centroids, each row's) by scikit-learn; clusters that would be empty are left out."""
    from sklearn.cluster import KMeans

    clusters = min(clusters, len(np.unique(rows, axis=0)))
    seed = int(seed_of(key, 0).integers(2**31))
    found = KMeans(clusters, n_init=4, random_state=seed).fit(rows)
    return found.cluster_centers_, found.labels_


def _mean_nearest(rows: Any, k: int, *, cosine: bool) -> Any:
    count = len(rows)
    k = min(k, count - 1)
    found = np.empty(count)
    size = max(1, _AT_ONCE // count)
    for start in range(0, count, size):
        similar = rows[start : start + size] @ rows.T
        distance = 1 - similar
        if not cosine:
            norms = np.sum(rows**2, axis=1)
            distance = np.sqrt(np.maximum(norms[start : start + size, None] + norms[None] - 2 * similar, 0.0))
        at = np.arange(len(distance))
        distance[at, start + at] = np.inf
        found[start : start + size] = np.partition(distance, k - 1, axis=1)[:, :k].mean(axis=1)
    return found


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"the number of neighbours or clusters must be at least 1, got {k!r}")
