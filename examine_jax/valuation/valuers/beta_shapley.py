"""Beta Shapley: Shapley values that weight small sets more."""

import dataclasses
import math
import os
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.stopping import DataShapleyStopping, Stopping, Truncation
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
class BetaShapley:
    """The mean marginal worth of a row over permutations, weighted by its position.

    Attributes:
        utility, permutations, truncation, stopping, first, at_once: as in `TMCShapley`; by default
            nothing is cut short.
        alpha, beta: of the Beta distribution; (1, 1) is Shapley, (16, 1) prefers small sets.

    Source: Kwon & Zou, Beta Shapley, 2022, theorem 2.
    """

    utility: GameMaker
    alpha: float = 16.0
    beta: float = 1.0
    permutations: int = 1000
    truncation: Truncation | None = None
    stopping: Stopping | None = dataclasses.field(default_factory=DataShapleyStopping)
    first: int = 0
    at_once: int = 4

    def __post_init__(self) -> None:
        check_counts(permutations=self.permutations, at_once=self.at_once)
        if not (self.alpha > 0 and self.beta > 0):
            raise ValueError(
                f"alpha and beta must be positive, got {self.alpha!r} and {self.beta!r}"
            )

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
        weights = beta_weights(len(features), self.alpha, self.beta)
        return sample_permutations(
            self, weights, features, labels, key, on_progress or silent, state
        )


def beta_weights(players: int, alpha: float, beta: float) -> Float[np.ndarray, " n"]:
    """[N] the weight of the marginal at each position j of a permutation; their mean is 1.

    N * C(N-1, j-1) * B(j+beta-1, N-j+alpha) / B(alpha, beta)
    """

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    def log_weight(j: int) -> float:
        choose = math.lgamma(players) - math.lgamma(j) - math.lgamma(players - j + 1)
        return (
            math.log(players)
            + choose
            + log_beta(j + beta - 1, players - j + alpha)
            - log_beta(alpha, beta)
        )

    return np.array([math.exp(log_weight(j)) for j in range(1, players + 1)])


def _make(options: ValuerOptions, validation: ValidationSet | None) -> BetaShapley:
    valuer = BetaShapley(utility_of(options, validation), permutations=options.permutations)
    return valuer if options.truncate else dataclasses.replace(valuer, stopping=None)


def _operations(sizes: Sizes, options: ValuerOptions) -> float:
    return options.permutations * sizes.rows * sizes.fit_operations(options.model)


ENTRY = ValuerEntry(
    "beta_shapley",
    "Shapley values that weight small sets more",
    _make,
    needs="validation",
    operations=_operations,
)
