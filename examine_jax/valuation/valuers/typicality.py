"""Typicality: how near the nearest rows are."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import LabelFree, check_count, mean_nearest, unit_rows


@dataclasses.dataclass(frozen=True)
class Typicality(LabelFree):
    """One over the mean Euclidean distance to the k nearest other rows, rows scaled to length 1.

    Attributes:
        k: neighbours; all others where there are fewer.

    Source: TypiClust, Hacohen et al. 2022, equation 4.
    """

    k: int = 20

    def __post_init__(self) -> None:
        check_count(self.k)

    def _values(self, features: Any, key: Any) -> Any:
        return 1 / np.maximum(mean_nearest(unit_rows(features), self.k, cosine=False), 1e-12)


ENTRY = ValuerEntry(
    "typicality",
    "one over the mean distance to the 20 nearest rows (TypiClust)",
    lambda options, validation: Typicality(),
    operations=lambda sizes, options: 4.0 * sizes.rows**2 * sizes.width,
)
