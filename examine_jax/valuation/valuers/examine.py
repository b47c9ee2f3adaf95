"""EXAMINE: how much the top singular value falls without a row."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.scoring import Solver, examine
from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import LabelFree


@dataclasses.dataclass(frozen=True)
class Examine(LabelFree):
    """EXAMINE: minus the gap, how much the top singular value falls without the row.

    The score exp(-gap) has the same order, and ties.

    Attributes:
        solver, center: as in `scoring.examine`.

    Source: Huang, Lei & Li 2022, equation 3.
    """

    solver: Solver | None = None
    center: bool = False

    def _values(self, features: Any, key: Any) -> Any:
        return -np.asarray(
            examine(features, solver=self.solver, center=self.center).gap, np.float64
        )


ENTRY = ValuerEntry(
    "examine",
    "minus how much the top singular value falls without the row",
    lambda options, validation: Examine(),
)
