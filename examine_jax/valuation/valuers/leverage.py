"""Statistical leverage."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.features.centring import centred_and_scaled, power_of_two_scale
from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import LabelFree


@dataclasses.dataclass(frozen=True)
class Leverage(LabelFree):
    """Minus the leverage: the row's diagonal entry of the projection onto the column space.

    Attributes:
        center: subtract the features' mean first.
        ridge: added to the scatter, relative to its largest eigenvalue. 0 gives the projection
            itself, under which all rows of a matrix with more columns than rows are alike.
    """

    center: bool = True
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        if not self.ridge >= 0:
            raise ValueError(f"ridge must not be negative, got {self.ridge!r}")

    def _values(self, features: Any, key: Any) -> Any:
        if self.center:
            (rows,) = centred_and_scaled(features)
            rows -= rows.mean(0)
        else:
            rows = features.astype(np.float64)
            rows *= power_of_two_scale(float(np.abs(rows).max()))
        left, singular, _ = np.linalg.svd(rows, full_matrices=False)
        if not singular[0] > 0:
            return np.zeros(len(rows))
        kept = singular > singular[0] * max(rows.shape) * np.finfo(np.float64).eps
        shrunk = singular[kept] ** 2 / (singular[kept] ** 2 + self.ridge * singular[0] ** 2)
        return -(left[:, kept] ** 2) @ shrunk


ENTRY = ValuerEntry(
    "leverage", "minus the statistical leverage", lambda options, validation: Leverage()
)
