"""Shapley values by sampled permutations, cut short or not."""

import dataclasses
import os
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.stopping import (
    DataShapleyStopping,
    DataShapleyTruncation,
    Stopping,
    Truncation,
)
from examine_jax.valuation.utility import GameMaker
from examine_jax.valuation.valuation import Progress, Valuation, silent
from examine_jax.valuation.valuers.entry import (
    Sizes,
    ValidationSet,
    ValuerEntry,
    ValuerOptions,
    utility_of,
)
from examine_jax.valuation.valuers.permutation_sampling import check_counts, sample_permutations


@dataclasses.dataclass(frozen=True, eq=False)
class TMCShapley:
    """Truncated Monte Carlo Shapley: the mean marginal worth of a row over random permutations.

    value_i = mean over permutations of V(rows before i, and i) - V(rows before i)

    Attributes:
        utility: V, which holds the validation set.
        permutations: at most this many.
        truncation: when a permutation is cut short (`DataShapleyTruncation`, pyDVL's
            `RelativeTruncation`); None: never.
        stopping: when there are enough permutations (`DataShapleyStopping`, pyDVL's
            `HistoryDeviation`); None: when all are done.
        first: the index of the first permutation. Index i is the same permutation everywhere, so
            several machines can take a range each, and `merge_states` puts their files together.
        at_once: permutations that are drawn, fitted and saved together. `stopping` is asked after
            each such group.

    Source: Ghorbani & Zou, Data Shapley, 2019.
    """

    utility: GameMaker
    permutations: int = 1000
    truncation: Truncation | None = dataclasses.field(default_factory=DataShapleyTruncation)
    stopping: Stopping | None = dataclasses.field(default_factory=DataShapleyStopping)
    first: int = 0
    at_once: int = 4

    def __post_init__(self) -> None:
        check_counts(permutations=self.permutations, at_once=self.at_once)

    def value(
        self,
        features: Float[np.ndarray, "n d"],
        labels: Int[np.ndarray, " n"] | None = None,
        key: Any = None,
        *,
        on_progress: Progress | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> Valuation:
        """As `Valuer.value`."""
        weights = np.ones(len(features))
        return sample_permutations(
            self, weights, features, labels, key, on_progress or silent, state
        )


def _make(options: ValuerOptions, validation: ValidationSet | None) -> TMCShapley:
    valuer = TMCShapley(utility_of(options, validation), permutations=options.permutations)
    return (
        valuer if options.truncate else dataclasses.replace(valuer, truncation=None, stopping=None)
    )


def _operations(sizes: Sizes, options: ValuerOptions) -> float:
    return options.permutations * sizes.rows * sizes.fit_operations(options.model)


ENTRY = ValuerEntry(
    "tmc_shapley",
    "Shapley values by truncated permutations",
    _make,
    needs="validation",
    operations=_operations,
)
