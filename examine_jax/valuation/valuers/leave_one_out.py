"""Leave-one-out: how much the worth of all rows falls without one."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.utility import GameMaker
from examine_jax.valuation.valuation import (
    Progress,
    Valuation,
    check_features,
    check_labels,
    silent,
)
from examine_jax.valuation.valuers.entry import ValuerEntry, utility_of


@dataclasses.dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """value_i = V(all) - V(all but i).

    Attributes:
        utility: V, which holds the validation set.

    Source: Huang, Lei & Li 2022, equation 1.
    """

    utility: GameMaker

    def value(
        self,
        features: Float[np.ndarray, "n d"],
        labels: Int[np.ndarray, " n"] | None = None,
        key: Any = None,
        *,
        on_progress: Progress | None = None,
        state: Any = None,
    ) -> Valuation:
        """As `Valuer.value`; nothing is drawn, and no state is kept."""
        check_features(features)
        check_labels(features, labels)
        progress = on_progress or silent
        game = self.utility.game(features, labels)
        worth = game.leave_one_out(lambda done: progress(done, len(features)))
        return Valuation(
            game.full() - worth, None, {"fits": float(len(features) + 1), "full_worth": game.full()}
        )


ENTRY = ValuerEntry(
    "loo",
    "leave-one-out: how much the classifier's metric falls without the row",
    lambda options, validation: LeaveOneOut(utility_of(options, validation)),
    needs="validation",
    operations=lambda sizes, options: sizes.rows * sizes.fit_operations(options.model),
)
