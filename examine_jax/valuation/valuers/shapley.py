"""Shapley values by sampled permutations, truncated or not, and their kin that weigh small sets more (Beta Shapley)."""

import dataclasses
import math
import os
from typing import Any

import numpy as np

from examine_jax.common.fingerprints import fingerprint
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.sampling_state import Samples, go_on, load_samples
from examine_jax.valuation.stopping import DataShapleyStopping, DataShapleyTruncation, Stopping, Truncation
from examine_jax.valuation.utility import Game, GameMaker
from examine_jax.valuation.valuation import Progress, Valuation, check_features, check_labels, seed_of, seeds_of, silent


@dataclasses.dataclass(frozen=True, eq=False)
class TMCShapley:
    """Truncated Monte Carlo Shapley: the mean, over random orders, of what a row adds to those before it.

    Attributes:
        utility: V, which holds the validation set.
        permutations: at most this many.
        truncation: when an order is cut short (`DataShapleyTruncation`, pyDVL's `RelativeTruncation`), or None: never.
        stopping: when there are enough orders (`DataShapleyStopping`, pyDVL's `HistoryDeviation`), or None: only when all are done.
        first: the index of the first order. Index i is the same order everywhere: several machines take a range each, and
            `merge_states` puts their files together.
        at_once: orders that are drawn, fitted and saved together. `stopping` is asked after each such group.

    Source: Ghorbani & Zou, Data Shapley, 2019.
    """

    utility: GameMaker
    permutations: int = 1000
    truncation: Truncation | None = dataclasses.field(default_factory=DataShapleyTruncation)
    stopping: Stopping | None = dataclasses.field(default_factory=DataShapleyStopping)
    first: int = 0
    at_once: int = 4

    def __post_init__(self) -> None:
        _check_counts(permutations=self.permutations, at_once=self.at_once)

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
        return _sample(self, weights, features, labels, key, on_progress or silent, state)


@dataclasses.dataclass(frozen=True, eq=False)
class BetaShapley:
    """The mean, over random orders, of what a row adds to those before it, weighed by how many these are.

    Attributes:
        utility, permutations, truncation, stopping, first, at_once: as `TMCShapley`; nothing is cut short if not told.
        alpha, beta: of the Beta distribution; (1, 1) is Shapley, (16, 1) looks at small sets.

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
        _check_counts(permutations=self.permutations, at_once=self.at_once)
        if not (self.alpha > 0 and self.beta > 0):
            raise ValueError(f"alpha and beta must be positive, got {self.alpha!r} and {self.beta!r}")

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
        return _sample(self, weights, features, labels, key, on_progress or silent, state)


def beta_weights(players: int, alpha: float, beta: float) -> Float[np.ndarray, " n"]:
    """The weight of the marginal at each position of an order, mean 1: N * C(N-1, j-1) * B(j+beta-1, N-j+alpha) / B(alpha, beta)."""

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    def log_weight(j: int) -> float:
        choose = math.lgamma(players) - math.lgamma(j) - math.lgamma(players - j + 1)
        return math.log(players) + choose + log_beta(j + beta - 1, players - j + alpha) - log_beta(alpha, beta)

    return np.array([math.exp(log_weight(j)) for j in range(1, players + 1)])


def sampled_mean(samples: Samples, extra: dict[str, float]) -> Valuation:
    """The mean of the contributions, and its standard error (nan for one sample)."""
    count = len(samples.indices)
    spread = samples.contributions.std(axis=0, ddof=1) if count > 1 else np.full(samples.contributions.shape[1], np.nan)
    counted = {"permutations": float(count), "fits": float(samples.fits.sum()), **extra}
    return Valuation(samples.contributions.mean(axis=0), spread / np.sqrt(count), counted)


def _sample(valuer: Any, weights: Any, features: Any, labels: Any, key: Any, told: Progress, state: Any) -> Valuation:
    check_features(features)
    check_labels(features, labels)
    seed_of(key, 0)
    # How many orders are drawn, and which of them here, is no part of what a sample is.
    same = dataclasses.replace(valuer, permutations=1, first=0, at_once=1, stopping=None)
    mark = fingerprint(same, features, labels, key) if state is not None else ""
    samples = Samples.none(mark, len(features)) if state is None else load_samples(state, mark, len(features))
    game = valuer.utility.game(features, labels)
    resamples = 0 if valuer.truncation is None else valuer.truncation.resamples
    full = game.bootstrapped_full(resamples, seed=0) if resamples else game.full()

    def draw(indices: Any) -> tuple[Any, Any]:
        orders = np.stack([seed.permutation(len(features)) for seed in seeds_of(key, indices)])
        return _contributions(game, orders, weights, valuer.truncation, full)

    wanted = range(valuer.first, valuer.first + valuer.permutations)
    enough = {} if valuer.stopping is None else {"enough": valuer.stopping.enough}
    samples = go_on(samples, state, wanted, valuer.at_once, draw, told, **enough)
    return sampled_mean(samples, {"full_worth": game.full(), "empty_worth": game.empty})


def _contributions(
    game: Game, orders: Any, weights: Any, truncation: Truncation | None, full: float
) -> tuple[Any, Any]:
    """[q, N] weighted marginals by row, and [q] fits that an unbatched loop would have made."""
    count, players = orders.shape
    cut = np.full(count, players)
    worths, fits = np.zeros((count, 0)), np.zeros((count, 0), np.int64)
    for block, fitted in game.prefixes(orders):
        worths, fits = np.concatenate([worths, block], axis=1), np.concatenate([fits, fitted], axis=1)
        if truncation is not None:
            found = [truncation.cut(row, full, players) for row in worths]
            cut = np.array([players if at is None else at for at in found])
            if all(at is not None for at in found):
                break
    seen = worths.shape[1]
    used = np.arange(seen)[None, :] < cut[:, None]
    marginals = np.zeros((count, players))
    before = np.concatenate([np.full((count, 1), game.empty), worths[:, :-1]], axis=1)
    marginals[:, :seen] = np.where(used, worths - before, 0.0) * weights[:seen]
    contributions = np.zeros_like(marginals)
    np.put_along_axis(contributions, orders, marginals, axis=1)
    return contributions, np.where(used, fits, 0).sum(axis=1)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count!r}")
