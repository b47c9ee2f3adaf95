"""Data Banzhaf: how much a row adds to a random set of the others."""

import dataclasses
import os
from typing import Any

import numpy as np

from examine_jax.common.fingerprints import fingerprint
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.sampling_state import Samples, draw_missing, load_samples
from examine_jax.valuation.utility import GameMaker
from examine_jax.valuation.valuation import (
    Progress,
    Valuation,
    check_features,
    check_labels,
    seed_of,
    seeds_of,
    silent,
)
from examine_jax.valuation.valuers.entry import Sizes, ValuerEntry, ValuerOptions, utility_of


@dataclasses.dataclass(frozen=True, eq=False)
class Banzhaf:
    """value_i = mean of V over sampled sets with row i - mean of V over sampled sets without it.

    Each row is in a set by a fair coin. Every set serves every row (maximum sample reuse).

    Attributes:
        utility: V, which holds the validation set.
        sets: how many are drawn.
        first: the index of the first set; index s is the same set on every machine.
        at_once: sets that are fitted and saved together.

    Source: Wang & Jia, Data Banzhaf, 2023.
    """

    utility: GameMaker
    sets: int = 1000
    first: int = 0
    at_once: int = 32

    def __post_init__(self) -> None:
        if self.sets < 2 or self.at_once < 1:
            raise ValueError(
                f"sets must be at least 2 and at_once at least 1, got {self.sets!r} and "
                f"{self.at_once!r}"
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
        """As `Valuer.value`.

        Raises:
            ValueError: also where a row is in every set, or in none (draw more).
        """
        check_features(features)
        check_labels(features, labels)
        seed_of(key, 0)
        progress, players = on_progress or silent, len(features)
        mark = (
            fingerprint("Banzhaf", self.utility, features, labels, key) if state is not None else ""
        )
        samples = Samples.none(mark, 1) if state is None else load_samples(state, mark, 1)
        game = self.utility.game(features, labels)

        def draw(indices: Any) -> tuple[Any, Any]:
            worth = game.subsets(coin_sets(key, indices, players))
            return worth[:, None], np.ones(len(indices), np.int64)

        wanted = range(self.first, self.first + self.sets)
        return banzhaf_of(
            draw_missing(samples, state, wanted, self.at_once, draw, progress), key, players
        )


def banzhaf_of(samples: Samples, key: Any, players: int) -> Valuation:
    """The values of sampled worths [S, 1] (merged ones too)."""
    members = coin_sets(key, samples.indices, players)
    worth = samples.contributions[:, 0]
    inside, outside = members.sum(axis=0), (~members).sum(axis=0)
    lone = np.flatnonzero((inside == 0) | (outside == 0))
    if len(lone):
        raise ValueError(
            f"rows {lone[:8].tolist()} are in every sampled set or in none: draw more sets than "
            f"{len(worth)}"
        )
    with_row, without = worth @ members / inside, worth @ ~members / outside
    square = lambda of, mean, count: (worth**2) @ of / count - mean**2  # noqa: E731
    variance = square(members, with_row, inside) / np.maximum(inside - 1, 1) + square(
        ~members, without, outside
    ) / np.maximum(outside - 1, 1)
    return Valuation(
        with_row - without, np.sqrt(np.maximum(variance, 0.0)), {"fits": float(samples.fits.sum())}
    )


def coin_sets(key: Any, indices: Any, players: int) -> Any:
    """[sets, players] bool: the sets of these indices."""
    return np.stack(
        [seed.integers(2, size=players).astype(bool) for seed in seeds_of(key, indices)]
    )


def _operations(sizes: Sizes, options: ValuerOptions) -> float:
    scoring = 2.0 * sizes.validation_rows * sizes.width * sizes.columns
    return options.sets * (sizes.fit_operations_alone(options.model) + scoring)


ENTRY = ValuerEntry(
    "banzhaf",
    "how much the row adds to random sets",
    lambda options, validation: Banzhaf(utility_of(options, validation), options.sets),
    needs="validation",
    operations=_operations,
)
