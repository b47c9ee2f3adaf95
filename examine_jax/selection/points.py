"""Rows of features as points on a grid of whole numbers, between which distances are exact.

Greedy choices compare sums of distances. In floating point, such sums depend on the order of
summation, and thus on cores, threads and devices. On this grid, the inner product of two points is
a whole number that the floating-point type holds with all its digits, so it is computed without
any rounding, in whatever order: by float64 for few points, by float32 for many.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Bool, Float, Int, Num
from examine_jax.features.centring import power_of_two_scale
from examine_jax.features.preprocessing import PREPROCESSINGS, Preprocessing, inverse_deviations

# The greatest length of a point. Many points: its square is 2^24, the longest whole number that
# float32 holds with all smaller ones. Few points: the sum of four squares of it over all points
# stays below 2^63.
_LENGTH, _FINE_LENGTH = 2**12, 2**20
_FINE_ROWS = 16_384
# Longer rows than so many median lengths are shortened: one freak must not make all others equal.
_MEDIANS = 8
# So often are they left out of the mean, until none is left out anew.
_ROUNDS = 4
_ROWS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Points on the grid, one a row of features.

    Attributes:
        rows: [N, D], int16 and no row longer than 2^12; or int32 and no row longer than 2^20.
        squares: [N], the squared lengths: int32, or int64.
        unit: the grid's step, in units of the preprocessed features.
    """

    rows: Int[np.ndarray, "n d"]
    squares: Int[np.ndarray, " n"]
    unit: float

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def length(self) -> int:
        """The greatest length of a row."""
        return _LENGTH if self.rows.dtype == np.int16 else _FINE_LENGTH

    @property
    def far(self) -> int:
        """A squared distance that is longer than any between two points."""
        return 8 * self.length**2

    @property
    def near(self) -> int:
        """A squared distance so short that two rows are one image: they differ by rounding."""
        return (self.length // 1024) ** 2

    def take(self, indices: Int[np.ndarray, " some"]) -> "Points":
        """The points of these rows."""
        return Points(self.rows[indices], self.squares[indices], self.unit)


def points_of(
    features: Num[np.ndarray, "n d"],
    rows: Int[np.ndarray, " pool"],
    preprocessing: Preprocessing,
) -> Points:
    """The points of some rows of features.

    The features are preprocessed, moved to their mean and scaled, none of which changes which of
    two distances is the longer; then they are rounded to the grid. The grid's step is 2^-20 of the
    greatest distance from the mean for up to 16,384 rows, and 1/4096 of it for more. Rows that are
    more than 8 times as far from the mean as the median row are first moved to that distance. With
    "none" they are left out of the mean, too: one huge entry does not make all other rows equal.

    Args:
        features: [N, D], an array or a memory map. It is read in blocks.
        rows: the rows of the pool, ascending. Their features are finite.
        preprocessing: "l2": each row divided by its Euclidean length. "zscore": each column less
            its mean, divided by its standard deviation, both over the pool. "none": unchanged.

    Returns:
        The points, in the order of `rows`.

    Raises:
        ValueError: an unknown preprocessing.
    """
    if preprocessing not in PREPROCESSINGS:
        raise ValueError(f"preprocessing {preprocessing!r} is none of {', '.join(PREPROCESSINGS)}")
    prepare = _Preparation.of(features, rows, preprocessing)
    lengths = _lengths_of(features, rows, prepare)
    longest = _limit(lengths)
    for _ in range(_ROUNDS if preprocessing == "none" else 0):
        within = rows[lengths <= longest]
        if len(within) == len(rows):
            break
        prepare = prepare.moved_to(features, within)
        lengths = _lengths_of(features, rows, prepare)
        longest = _limit(lengths)
    width = features.shape[1]
    # Rounding lengthens a row by half the diagonal of a cell at most.
    fine = len(rows) <= _FINE_ROWS
    length = _FINE_LENGTH if fine else _LENGTH
    scale = (length - math.sqrt(width) / 2) / longest if longest > 0 else 1.0
    found = np.empty((len(rows), width), np.int32 if fine else np.int16)
    for start, block in _blocks(features, rows):
        own = lengths[start : start + len(block)]
        factor = scale * np.minimum(1, longest / np.where(own > 0, own, 1))
        found[start : start + len(block)] = np.rint(prepare(block) * factor[:, None])
    return points_of_rows(found, 1 / (scale * prepare.features_scale))


def points_of_rows(rows: Int[np.ndarray, "n d"], unit: float) -> Points:
    """Points of rows that are on the grid already: int16 or int32, as in `Points`."""
    wide: Any = np.int32 if rows.dtype == np.int16 else np.int64
    squares = np.empty(len(rows), wide)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE].astype(wide)
        squares[start : start + len(block)] = np.einsum("nd,nd->n", block, block)
    return Points(rows, squares, unit)


def bad_rows(
    features: Num[np.ndarray, "n d"], rows: Int[np.ndarray, " some"]
) -> Int[np.ndarray, " bad"]:
    """Which of these rows hold NaN or infinite entries."""
    found = [
        rows[start + np.flatnonzero(~np.isfinite(block).all(axis=1))]
        for start, block in _blocks(features, rows)
    ]
    return np.concatenate([*found, np.empty(0, np.int64)]).astype(np.int64)


def first_equals(points: Points) -> Int[np.ndarray, " n"]:
    """For each point, the index of the first point that equals it."""
    generator = np.random.default_rng(0)
    factors = generator.integers(1, 2**62, (points.rows.shape[1], 2)) * 2 + 1
    sums = np.empty((len(points), 2), np.int64)
    for start in range(0, len(points), _ROWS_AT_ONCE):
        block = points.rows[start : start + _ROWS_AT_ONCE].astype(np.int64)
        # einsum, not @: NumPy's product of integers has no other fast path, and overflow wraps.
        sums[start : start + len(block)] = np.einsum("nd,dk->nk", block, factors)
    order = np.lexsort((np.arange(len(points)), sums[:, 1], sums[:, 0]))
    new = np.ones(len(points), bool)
    new[1:] = (sums[order[1:]] != sums[order[:-1]]).any(axis=1)
    first = np.empty(len(points), np.int64)
    first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return first


@dataclasses.dataclass(frozen=True, eq=False)
class _Preparation:
    """Preprocessing and centring, of blocks of rows in float64."""

    # Powers of two by which features are multiplied first, so that no square overflows or vanishes:
    # one for all, or one a column where columns have no common unit.
    scale: float | Float[np.ndarray, " d"]
    mean: Float[np.ndarray, " d"]
    factor: Float[np.ndarray, " d"]
    kind: Preprocessing

    @classmethod
    def of(
        cls,
        features: Num[np.ndarray, "n d"],
        rows: Int[np.ndarray, " pool"],
        preprocessing: Preprocessing,
    ) -> "_Preparation":
        width = features.shape[1]
        largest = np.zeros(width)
        for _, block in _blocks(features, rows):
            np.maximum(largest, np.abs(block.astype(np.float64)).max(axis=0), out=largest)
        scale: Any = power_of_two_scale(float(largest.max(initial=0)))
        if preprocessing == "zscore":
            scale = np.array([power_of_two_scale(float(column)) for column in largest])
        first = cls(scale, np.zeros(width), np.ones(width), preprocessing)
        centred = first.moved_to(features, rows)
        if preprocessing != "zscore":
            return centred
        squares = np.zeros(width)
        for _, block in _blocks(features, rows):
            squares += np.square(centred(block)).sum(axis=0)
        deviation = np.sqrt(squares / max(len(rows), 1))
        return dataclasses.replace(centred, factor=inverse_deviations(centred.mean, deviation))

    def moved_to(
        self, features: Num[np.ndarray, "n d"], rows: Int[np.ndarray, " some"]
    ) -> "_Preparation":
        """Centred at the mean of these rows."""
        about_zero = dataclasses.replace(self, mean=np.zeros_like(self.mean))
        total = np.zeros(len(self.mean))
        for _, block in _blocks(features, rows):
            total += about_zero(block).sum(axis=0)
        return dataclasses.replace(self, mean=total / max(len(rows), 1))

    @property
    def features_scale(self) -> float:
        """By which distances between rows of "none" are scaled; 1 where rows have no unit."""
        return float(self.scale) if self.kind == "none" else 1.0

    def __call__(self, block: Num[np.ndarray, "rows d"]) -> Float[np.ndarray, "rows d"]:
        exact = block.astype(np.float64) * self.scale
        if self.kind == "l2":
            # By the largest entry first: the squares of tiny rows would vanish.
            exact = exact / _or_one(np.abs(exact).max(axis=1, initial=0, keepdims=True))
            exact = exact / _or_one(_lengths(exact)[:, None])
        return (exact - self.mean) * self.factor


def _or_one(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.where(values > 0, values, 1)


def _lengths(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return np.sqrt(np.einsum("nd,nd->n", rows, rows))


def _lengths_of(
    features: Any, rows: Int[np.ndarray, " n"], prepare: _Preparation
) -> Float[np.ndarray, " n"]:
    lengths = np.empty(len(rows))
    for start, block in _blocks(features, rows):
        lengths[start : start + len(block)] = _lengths(prepare(block))
    return lengths


def _limit(lengths: Float[np.ndarray, " n"]) -> float:
    """The length that becomes 4096 steps."""
    if not len(lengths):
        return 0.0
    median = float(np.median(lengths))
    longest = float(lengths.max())
    return min(longest, _MEDIANS * median) if median > 0 else longest


def _blocks(features: Any, rows: Int[np.ndarray, " some"]) -> Any:
    """(start, block) of the features of these rows, in order."""
    every = len(rows) == len(features)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        # A slice of a memory map reads in one go; a list of rows is gathered one by one.
        block = features[start : start + len(part)] if every else features[part]
        yield start, native(np.asarray(block))


def mask_of(indices: Int[np.ndarray, " some"], count: int) -> Bool[np.ndarray, " count"]:
    """A mask that is True at these indices."""
    mask = np.zeros(count, bool)
    mask[indices] = True
    return mask
