"""Distance to the nearest k-means centroid."""

import dataclasses
from typing import Any

from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import (
    LabelFree,
    SquaredDistances,
    check_count,
    kmeans_centres,
    unit_rows,
)


@dataclasses.dataclass(frozen=True)
class PrototypeDistance(LabelFree):
    """Minus the cosine distance to the nearest k-means centroid.

    Rows are scaled to length 1; k-means is scikit-learn's.

    Attributes:
        clusters: how many; as many as rows where there are fewer.

    Source: Sorscher et al., Beyond neural scaling laws, 2022, section 4.1.
    """

    clusters: int = 10

    def __post_init__(self) -> None:
        check_count(self.clusters)

    def _values(self, features: Any, key: Any) -> Any:
        rows = unit_rows(features)
        centroids = unit_rows(kmeans_centres(rows, self.clusters, key)[0])
        squares = SquaredDistances(rows, centroids)
        return -squares.cosine(squares.of_rows(0, len(rows)), 0).min(axis=1)


ENTRY = ValuerEntry(
    "prototype_distance",
    "minus the cosine distance to the nearest of 10 k-means centroids",
    lambda options, validation: PrototypeDistance(),
)
