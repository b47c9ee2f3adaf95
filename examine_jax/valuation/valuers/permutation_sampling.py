"""Marginal worth over random permutations: what `TMCShapley` and `BetaShapley` share."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.common.fingerprints import fingerprint
from examine_jax.valuation.sampling_state import Samples, draw_missing, load_samples
from examine_jax.valuation.stopping import Truncation
from examine_jax.valuation.utility import Game
from examine_jax.valuation.valuation import (
    Progress,
    Valuation,
    check_features,
    check_labels,
    seed_of,
    seeds_of,
)


def sample_permutations(
    valuer: Any, weights: Any, features: Any, labels: Any, key: Any, progress: Progress, state: Any
) -> Valuation:
    """The values of a `TMCShapley` or `BetaShapley`, whose marginals are weighted by position."""
    check_features(features)
    check_labels(features, labels)
    seed_of(key, 0)
    # A sample does not depend on how many permutations are drawn, nor on which of them are drawn
    # here.
    same = dataclasses.replace(valuer, permutations=1, first=0, at_once=1, stopping=None)
    mark = fingerprint(same, features, labels, key) if state is not None else ""
    samples = (
        Samples.none(mark, len(features))
        if state is None
        else load_samples(state, mark, len(features))
    )
    game = valuer.utility.game(features, labels)
    resamples = 0 if valuer.truncation is None else valuer.truncation.resamples
    full = game.bootstrapped_full(resamples, seed=0) if resamples else game.full()

    def draw(indices: Any) -> tuple[Any, Any]:
        orders = np.stack([seed.permutation(len(features)) for seed in seeds_of(key, indices)])
        return contributions(game, orders, weights, valuer.truncation, full)

    wanted = range(valuer.first, valuer.first + valuer.permutations)
    enough = {} if valuer.stopping is None else {"enough": valuer.stopping.enough}
    samples = draw_missing(samples, state, wanted, valuer.at_once, draw, progress, **enough)
    return sampled_mean(samples, {"full_worth": game.full(), "empty_worth": game.empty})


def contributions(
    game: Game, orders: Any, weights: Any, truncation: Truncation | None, full: float
) -> tuple[Any, Any]:
    """[q, N] weighted marginals by row, and [q] the fits of a loop over prefixes."""
    count, players = orders.shape
    cut = np.full(count, players)
    worths, fits = np.zeros((count, 0)), np.zeros((count, 0), np.int64)
    for block, fitted in game.prefixes(orders):
        worths, fits = (
            np.concatenate([worths, block], axis=1),
            np.concatenate([fits, fitted], axis=1),
        )
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
    by_row = np.zeros_like(marginals)
    np.put_along_axis(by_row, orders, marginals, axis=1)
    return by_row, np.where(used, fits, 0).sum(axis=1)


def sampled_mean(samples: Samples, extra: dict[str, float]) -> Valuation:
    """The mean of the contributions, and its standard error (nan for one sample)."""
    count = len(samples.indices)
    deviation = (
        samples.contributions.std(axis=0, ddof=1)
        if count > 1
        else np.full(samples.contributions.shape[1], np.nan)
    )
    counted = {"permutations": float(count), "fits": float(samples.fits.sum()), **extra}
    return Valuation(samples.contributions.mean(axis=0), deviation / np.sqrt(count), counted)


def check_counts(**counts: int) -> None:
    """Raises: ValueError, where a count is below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count!r}")
