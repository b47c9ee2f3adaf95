"""The results as arrays over seeds, and what they say of a way against another."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.studies.budget.pools import Condition
from examine_jax.studies.budget.results import BudgetResult


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One way of choosing over the seeds.

    Attributes:
        condition, encoder, way: as of `BudgetResult`.
        seeds: of the rows.
        budgets: [S, B] numbers of labels.
        accuracy: [S, B] balanced accuracy.
        wasted: [S, B] labels spent on images that teach nothing.
        seconds: [S] of choosing.
    """

    condition: Condition
    encoder: str
    way: str
    seeds: tuple[int, ...]
    budgets: Int[np.ndarray, "s b"]
    accuracy: Float[np.ndarray, "s b"]
    wasted: Int[np.ndarray, "s b"]
    seconds: Float[np.ndarray, " s"]


def curves(results: Sequence[BudgetResult]) -> tuple[Curve, ...]:
    """Returns one curve for each condition, encoder and way, in the results' order."""
    keys = dict.fromkeys((one.condition, one.encoder, one.way) for one in results)
    made = []
    for key in keys:
        own = [one for one in results if (one.condition, one.encoder, one.way) == key]
        made.append(
            Curve(
                *key,
                tuple(one.seed for one in own),
                np.array([one.budgets for one in own]),
                np.array([one.balanced_accuracy for one in own]),
                np.array([one.wasted for one in own]),
                np.array([one.seconds for one in own]),
            )
        )
    return tuple(made)


def find(all_curves: Sequence[Curve], condition: Condition, encoder: str, way: str) -> Curve | None:
    """Returns a curve, or None if there is none."""
    for curve in all_curves:
        if (curve.condition, curve.encoder, curve.way) == (condition, encoder, way):
            return curve
    return None


def gain(curve: Curve, other: Curve) -> Float[np.ndarray, "s b"]:
    """Returns a curve's accuracy less another's, seed by seed, for the seeds that both have."""
    seeds = [seed for seed in curve.seeds if seed in other.seeds]
    first = curve.accuracy[[curve.seeds.index(seed) for seed in seeds]]
    return first - other.accuracy[[other.seeds.index(seed) for seed in seeds]]


def gain_text(values: Float[np.ndarray, " s"]) -> str:
    """Returns the mean difference and in how many seeds it is above 0: "+0.031 (9 of 10)"."""
    return f"{values.mean():+.3f} ({int((values > 0).sum())} of {len(values)})"
