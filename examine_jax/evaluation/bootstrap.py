"""Confidence intervals for test sets whose images come in groups, such as patients or slides."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from examine_jax.common.shapes import Int, Shaped
from examine_jax.labelled.splits import group_codes


@dataclasses.dataclass(frozen=True)
class Interval:
    """A statistic with its confidence interval.

    Attributes:
        value: the statistic of all images.
        low, high: the ends of the percentile interval; NaN if the statistic of every draw is NaN.
        num_undefined: the number of draws whose statistic is NaN, for example because a class was
            not drawn. The interval leaves them out.
    """

    value: float
    low: float
    high: float
    num_undefined: int


def bootstrap_interval(
    statistic: Callable[[Int[np.ndarray, " rows"]], float],
    groups: Shaped[np.ndarray, " n"],
    *,
    seed: int,
    num_draws: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """The percentile interval of `statistic(rows)` under the cluster bootstrap.

    Each draw takes whole groups with replacement. Images of one group are similar, so drawing
    single images would give too narrow an interval.

    Args:
        statistic: maps row numbers, which may repeat, to a number, for example
            `lambda rows: accuracy(labels[rows], predicted[rows])`.
        groups: the group [N] of each image, as numbers or strings. Use `np.arange(n)` if the images
            are independent.
        seed: determines the draws.
        num_draws: the number of bootstrap draws.
        confidence: the coverage of the interval, in (0, 1).

    Returns:
        The statistic of all images and its interval.

    Raises:
        ValueError: there are fewer than two groups, a group is missing (NaN or None), `confidence`
            lies outside (0, 1), or `num_draws` is below 1.
    """
    if not 0 < confidence < 1 or num_draws < 1:
        raise ValueError(
            f"confidence {confidence} must lie between 0 and 1, and num_draws {num_draws} must be "
            "at least 1"
        )
    names, group = group_codes(groups)
    if len(names) < 2:
        raise ValueError(
            f"there are {len(names)} groups among {len(groups)} images; an interval needs at least "
            "two"
        )
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    rng = np.random.default_rng(seed)
    draws = np.empty(num_draws)
    for i in range(num_draws):
        draws[i] = statistic(
            np.concatenate([members[g] for g in rng.integers(0, len(names), len(names))])
        )
    defined = draws[~np.isnan(draws)]
    low, high = (
        np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
        if len(defined)
        else (math.nan,) * 2
    )
    value = float(statistic(np.arange(len(groups))))
    return Interval(value, float(low), float(high), num_draws - len(defined))
