"""Intervals for figures of a test set whose images come in groups (patients, slides, tiles)."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from examine_jax.common.shapes import Int, Shaped
from examine_jax.labelled.splits import group_codes


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and where it may lie.

    Attributes:
      value: the figure of all images.
      low, high: the ends of the percentile interval; nan where no draw gave a figure.
      num_undefined: draws whose figure is nan (a class was not drawn, say) and that the interval leaves out.
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
    """The percentile interval of `statistic(rows)` when groups are drawn with replacement (the cluster bootstrap).

    Images of a group are alike, so that drawing images one by one gives intervals that are too narrow: a group is drawn whole or not.

    Args:
      statistic: the figure of the images with these row numbers, some of them several times, e.g.
        `lambda rows: accuracy(labels[rows], predicted[rows])`.
      groups: the group [N] of each image, numbers or strings; where images are independent, `np.arange(n)`.
      seed: of the draws.

    Raises:
      ValueError: fewer than two groups, or a missing one (NaN, None); confidence outside (0, 1); no draw.
    """
    if not 0 < confidence < 1 or num_draws < 1:
        raise ValueError(
            f"confidence {confidence} must lie between 0 and 1, and num_draws {num_draws} must be at least 1"
        )
    names, group = group_codes(groups)
    if len(names) < 2:
        raise ValueError(f"there are {len(names)} groups among {len(groups)} images; an interval needs at least two")
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    rng = np.random.default_rng(seed)
    draws = np.empty(num_draws)
    for i in range(num_draws):
        draws[i] = statistic(np.concatenate([members[g] for g in rng.integers(0, len(names), len(names))]))
    defined = draws[~np.isnan(draws)]
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(defined) else (math.nan,) * 2
    value = float(statistic(np.arange(len(groups))))
    return Interval(value, float(low), float(high), num_draws - len(defined))
