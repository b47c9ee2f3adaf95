"""Distance to the nearest rows."""

import dataclasses
from typing import Any

from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import LabelFree, check_count, mean_nearest, unit_rows


@dataclasses.dataclass(frozen=True)
class KNNDistance(LabelFree):
    """Minus the mean cosine distance to the k nearest other rows.

    Attributes:
        k: neighbours; all others where there are fewer.
    """

    k: int = 10

    def __post_init__(self) -> None:
        check_count(self.k)

    def _values(self, features: Any, key: Any) -> Any:
        return -mean_nearest(unit_rows(features), self.k, cosine=True)


ENTRY = ValuerEntry(
    "knn_distance",
    "minus the mean cosine distance to the 10 nearest rows",
    lambda options, validation: KNNDistance(),
    operations=lambda sizes, options: 4.0 * sizes.rows**2 * sizes.width,
)
