"""The ways of choosing that are compared, and what each chooses for every budget."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from examine_jax.common.shapes import Bool, Float
from examine_jax.selection import select, strategy_of
from examine_jax.selection.registry import STRATEGIES
from examine_jax.studies.budget.classifier import Exam
from examine_jax.studies.budget.pools import Condition
from examine_jax.studies.budget.settings import BudgetSettings

RANDOM = "random"
Left = Literal["all", "usability", "truth"]
_ADDED = {"all": "", "usability": " + usability", "truth": " + truth"}


@dataclasses.dataclass(frozen=True)
class Way:
    """A strategy, and which images it may choose.

    Attributes:
        strategy: its name.
        left: "all" images; those that "usability" leaves, which is neither found unusable nor a
            copy; or those that are in "truth" not spoilt, which nobody knows outside this study.
    """

    strategy: str
    left: Left = "all"

    @property
    def name(self) -> str:
        """The way's name in tables."""
        return self.strategy + _ADDED[self.left]


def default_strategy() -> str:
    """Returns the name of the strategy that `select` takes if none is named."""
    default = select(np.eye(2, dtype=np.float32), 1).strategy
    return next(name for name in STRATEGIES if strategy_of(name) == default)


def ways(condition: Condition, settings: BudgetSettings) -> tuple[Way, ...]:
    """Returns the ways that are compared.

    Images are left out only by the default strategy and by random, the two that are judged; of the
    clean pool only by usability: that shows what its false findings cost.
    """
    names = settings.strategy_names()
    judged = [name for name in dict.fromkeys((default_strategy(), RANDOM)) if name in names]
    left: tuple[Left, ...] = ("usability",) if condition == "clean" else ("usability", "truth")
    return (*map(Way, names), *(Way(name, which) for which in left for name in judged))


def examine_choices(
    way: Way,
    features: Float[np.ndarray, "p d"],
    usable: Bool[np.ndarray, " p"] | None,
    budgets: Sequence[int],
    exam: Exam,
    settings: BudgetSettings,
    seed: int,
) -> dict[str, Any]:
    """Chooses images for each budget, and trains a classifier on them.

    Args:
        way: of choosing.
        features: of the pool, as the encoder gives them.
        usable: [P] which images may be chosen; None: all.
        budgets: numbers of labels. A budget above the usable images takes all of these.
        exam: on which the choices are compared.
        settings: of the study.
        seed: of random choices.

    Returns:
        One value a budget, as plain lists: "chosen" (rows of the pool), "balanced_accuracy" and
        "wasted" (labels spent on images that teach nothing); and "seconds" of choosing.
    """
    begin = time.perf_counter()
    most = len(features) if usable is None else int(usable.sum())

    def choose(budget: int) -> np.ndarray:
        chosen = select(
            features,
            min(budget, most),
            usable=usable,
            strategy=strategy_of(way.strategy),
            key=seed,
        )
        return np.asarray(chosen.indices)

    if settings.nested:
        largest = choose(budgets[-1])
        chosen = [largest[:budget] for budget in budgets]
    else:
        by_budget = {budget: choose(budget) for budget in dict.fromkeys(budgets)}
        chosen = [by_budget[budget] for budget in budgets]
    seconds = time.perf_counter() - begin
    return {
        "budgets": list(budgets),
        "chosen": [rows.tolist() for rows in chosen],
        "balanced_accuracy": [exam.balanced_accuracy(rows) for rows in chosen],
        "wasted": [int((~exam.usable[rows]).sum()) for rows in chosen],
        "seconds": seconds,
    }
