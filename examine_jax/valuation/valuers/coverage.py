"""Rows in the order in which a greedy rule would label them so that all others are near one: the first is worth N, the last 1."""

import dataclasses
import heapq
from typing import Any

import numpy as np

from examine_jax.common.shapes import Int
from examine_jax.valuation.valuers.label_free import _LabelFree, kmeans_centres, unit_rows

MOST_ROWS = 20_000  # every pair's distance is held


@dataclasses.dataclass(frozen=True)
class KCentre(_LabelFree):
    """Next is the row farthest from those chosen; first the one nearest to the mean. Euclidean, O(N^2 D).

    Source: Sener & Savarese, Active learning for convolutional neural networks: a core-set approach, 2018.
    """

    def _values(self, features: Any, key: Any) -> Any:
        rows = features.astype(np.float64)
        chosen = [int(np.argmin(np.sum((rows - rows.mean(0)) ** 2, axis=1)))]
        distance = np.full(len(rows), np.inf)
        for _ in range(len(rows) - 1):
            distance = np.minimum(distance, np.sum((rows - rows[chosen[-1]]) ** 2, axis=1))
            distance[chosen[-1]] = -1.0
            chosen.append(int(np.argmax(distance)))
        return _worth_of_order(np.array(chosen))


@dataclasses.dataclass(frozen=True)
class ProbCover(_LabelFree):
    """Next is the row with the most rows within a radius that no chosen one covers. Rows are scaled to length 1.

    Attributes:
        radius: Euclidean; None: the largest at which a share `purity` of the balls holds rows of one k-means cluster only.
        clusters: of that k-means.
        purity: of the paper's rule.

    Rows left when all is covered follow in the order of how many they cover. At most 20,000 rows.

    Source: Yehuda et al., Active learning through a covering lens, 2022.
    """

    radius: float | None = None
    clusters: int = 10
    purity: float = 0.95

    def __post_init__(self) -> None:
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"radius must be positive, got {self.radius!r}")
        if self.clusters < 1 or not 0 < self.purity <= 1:
            raise ValueError("clusters must be at least 1 and purity in (0, 1]")

    def _values(self, features: Any, key: Any) -> Any:
        distance = np.sqrt(np.maximum(2 - 2 * _similarity(features), 0.0))
        radius = self._pure_radius(distance, unit_rows(features), key) if self.radius is None else self.radius
        near = distance <= radius
        np.fill_diagonal(near, True)
        gain, uncovered = near.sum(axis=1), np.ones(len(near), bool)
        degree, chosen = gain.copy(), []
        while uncovered.any():
            best = int(np.argmax(gain))
            new = near[best] & uncovered
            gain = gain - near[:, new].sum(axis=1)
            uncovered &= ~new
            chosen.append(best)
        rest = np.setdiff1d(np.arange(len(near)), chosen)
        return _worth_of_order(np.concatenate([np.array(chosen), rest[np.argsort(-degree[rest], kind="stable")]]))

    def _pure_radius(self, distance: Any, rows: Any, key: Any) -> float:
        cluster = kmeans_centres(rows, self.clusters, key)[1]
        # A ball is pure up to the nearest row of another cluster.
        stranger = np.where(cluster[:, None] == cluster[None], np.inf, distance).min(axis=1)
        if not np.isfinite(stranger).any():
            return float(np.median(distance))
        return float(np.nextafter(np.quantile(stranger, 1 - self.purity), 0))


@dataclasses.dataclass(frozen=True)
class FacilityLocation(_LabelFree):
    """Next is the row that most raises the sum, over all rows, of the cosine similarity to the nearest chosen one. At most 20,000 rows.

    Lazy greedy: a row's gain only falls, so that most are never looked at again. Source: Minoux 1978; Wei et al. 2015.
    """

    def _values(self, features: Any, key: Any) -> Any:
        similar = _similarity(features) + 1  # not negative: the first choice too is a gain
        nearest = np.zeros(len(similar))
        heap = [(-gain, row) for row, gain in enumerate(similar.sum(axis=0))]
        heapq.heapify(heap)
        chosen: list[int] = []
        while heap:
            old, row = heapq.heappop(heap)
            gain = float(np.maximum(similar[:, row] - nearest, 0.0).sum())
            if heap and (-gain, row) > heap[0]:
                heapq.heappush(heap, (max(-gain, old), row))
                continue
            chosen.append(row)
            nearest = np.maximum(nearest, similar[:, row])
        return _worth_of_order(np.array(chosen))


def _similarity(features: Any) -> Any:
    if len(features) > MOST_ROWS:
        raise ValueError(
            f"{len(features)} rows: every pair's distance would be held; use at most {MOST_ROWS}, or KCentre"
        )
    rows = unit_rows(features)
    return rows @ rows.T


def _worth_of_order(order: Int[np.ndarray, " n"]) -> Any:
    values = np.empty(len(order))
    values[order] = len(order) - np.arange(len(order))
    return values
