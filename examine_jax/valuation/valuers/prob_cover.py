"""The greedy order of ProbCover: balls of one radius that cover the most rows."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import (
    MOST_ROWS_OF_PAIRS,
    LabelFree,
    cosine_distances,
    kmeans_centres,
    unit_rows,
    values_of_order,
)


@dataclasses.dataclass(frozen=True)
class ProbCover(LabelFree):
    """A greedy order: next is the row with the most uncovered rows within a radius.

    Rows are scaled to length 1. Once all are covered, the rest follows by how many rows each
    covers. At most 20,000 rows. The first row is worth N, the last 1.

    Attributes:
        radius: Euclidean; None: the largest at which a share `purity` of the balls holds rows of
            one k-means cluster only.
        clusters: of that k-means.
        purity: of the paper's rule.

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
        distance = np.sqrt(2 * cosine_distances(features))
        radius = (
            self._pure_radius(distance, unit_rows(features), key)
            if self.radius is None
            else self.radius
        )
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
        return values_of_order(
            np.concatenate([np.array(chosen), rest[np.argsort(-degree[rest], kind="stable")]])
        )

    def _pure_radius(self, distance: Any, rows: Any, key: Any) -> float:
        cluster = kmeans_centres(rows, self.clusters, key)[1]
        # A ball is pure up to the nearest row of another cluster.
        nearest_other = np.where(cluster[:, None] == cluster[None], np.inf, distance).min(axis=1)
        if not np.isfinite(nearest_other).any():
            return float(np.median(distance))
        return float(np.nextafter(np.quantile(nearest_other, 1 - self.purity), 0))


ENTRY = ValuerEntry(
    "prob_cover",
    "greedy order: next is the row whose ball covers the most uncovered rows",
    lambda options, validation: ProbCover(),
    most_rows=MOST_ROWS_OF_PAIRS,
)
