"""Data-OOB: how often models that were fitted without a row predict its label."""

import dataclasses
import os
from typing import Any

import jax
import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.fingerprints import fingerprint
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.logistic.regression import Fitter, LogisticRegression
from examine_jax.valuation.sampling_state import Samples, draw_missing, load_samples
from examine_jax.valuation.utility import check_labelled
from examine_jax.valuation.valuation import (
    Progress,
    Valuation,
    check_features,
    check_labels,
    seed_of,
    seeds_of,
    silent,
)
from examine_jax.valuation.valuers.entry import LabelledProblem, Sizes, ValuerEntry, ValuerOptions


@dataclasses.dataclass(frozen=True)
class DataOOB:
    """Of the bootstrap models whose bag lacks the row, the share that predicts its label.

    No validation set is needed.

    Attributes:
        model: what is fitted to each bag.
        bags: how many.
        first: the index of the first bag; index b is the same bag on every machine.
        at_once: bags that are fitted and saved together.

    Source: Kwon & Zou, Data-OOB, 2023 (there with decision trees).
    """

    model: LogisticRegression = dataclasses.field(default_factory=LogisticRegression)
    bags: int = 200
    first: int = 0
    at_once: int = 32

    def __post_init__(self) -> None:
        if self.bags < 1 or self.at_once < 1:
            raise ValueError(
                f"bags and at_once must be at least 1, got {self.bags!r} and {self.at_once!r}"
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
        """As `Valuer.value`. A bag that lacks a class counts for no row.

        Raises:
            ValueError: also where a class has one row (a model without that row does not know the
                class), or a row is in every bag.
        """
        check_features(features)
        check_labels(features, labels)
        check_labelled(features, labels, "the assessed set")
        seed_of(key, 0)
        assert labels is not None
        features, labels = native(features), native(labels)
        alone = np.flatnonzero(np.bincount(labels) == 1)
        if len(alone):
            raise ValueError(
                f"classes {alone[:8].tolist()} have one row each: a model fitted without it does "
                "not know the class; leave these rows out"
            )
        progress, players = on_progress or silent, len(features)
        mark = (
            fingerprint("DataOOB", self.model, features, labels, key) if state is not None else ""
        )
        samples = (
            Samples.none(mark, players) if state is None else load_samples(state, mark, players)
        )
        fitter = Fitter.of(features, labels, self.model)

        def draw(indices: Any) -> tuple[Any, Any]:
            right, fitted = _out_of_bag(fitter, features, labels, key, indices)
            return right, fitted.astype(np.int64)

        samples = draw_missing(
            samples, state, range(self.first, self.first + self.bags), self.at_once, draw, progress
        )
        there = ~np.isnan(samples.contributions)
        count = there.sum(axis=0)
        if (count == 0).any():
            rows = np.flatnonzero(count == 0)
            raise ValueError(
                f"rows {rows[:8].tolist()} are in each of the {int(samples.fits.sum())} bags that "
                "have all classes: draw more bags "
                f"than {len(there)}"
            )
        rate = np.nansum(samples.contributions, axis=0) / count
        return Valuation(
            rate, np.sqrt(rate * (1 - rate) / count), {"fits": float(samples.fits.sum())}
        )


def _out_of_bag(
    fitter: Fitter, features: Any, labels: Any, key: Any, indices: Any
) -> tuple[Any, Any]:
    """(right, fitted) for each bag.

    right [b, N]: 1 where a row outside the bag is predicted rightly, 0 where wrongly, NaN inside.
    fitted [b]: whether the bag has all classes.
    """
    players = len(features)
    drawn = [seed.integers(players, size=players) for seed in seeds_of(key, indices)]
    bags = np.stack([np.bincount(rows, minlength=players) for rows in drawn]).astype(np.float64)
    classes = np.eye(fitter.num_classes)[labels]
    fitted = (bags @ classes > 0).all(axis=1)
    right = np.full(bags.shape, np.nan)
    if fitted.any():
        with jax.enable_x64(True):
            weights, intercept = (
                np.asarray(x) for x in fitter.coefficients(fitter.subsets(bags[fitted]))
            )
        decisions = (
            np.einsum("nd,dcb->bnc", features.astype(np.float64), weights) + intercept.T[:, None, :]
        )
        predicted = decisions[..., 0] > 0 if decisions.shape[2] == 1 else decisions.argmax(2)
        right[fitted] = np.where(bags[fitted] == 0, predicted == labels, np.nan)
    return right, fitted


def _check(problem: LabelledProblem) -> list[str]:
    alone = [problem.classes[code] for code in np.flatnonzero(np.bincount(problem.labels) == 1)]
    if alone:
        raise ValueError(
            f"classes {', '.join(alone[:8])} have one row each: data_oob cannot value it, as a "
            "model without it does not know the class"
        )
    if problem.groups is None:
        return []
    return [
        "data_oob draws its bags row by row: a model may know a row's patient or slide from its "
        "other rows, which flatters it."
    ]


def _operations(sizes: Sizes, options: ValuerOptions) -> float:
    scoring = 2.0 * sizes.rows * sizes.width * sizes.columns
    return options.bags * (sizes.fit_operations_alone(options.model) + scoring)


ENTRY = ValuerEntry(
    "data_oob",
    "how often models fitted without the row predict its label",
    lambda options, validation: DataOOB(options.model, options.bags),
    needs="labels",
    operations=_operations,
    check=_check,
)
