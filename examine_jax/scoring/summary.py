"""The summary of a corpus: it scores members and new rows without the corpus' rows."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.eigensystem import (
    Eigensystem,
    decompose,
    rotation_bound,
    rounding,
    scatter,
)
from examine_jax.scoring.equations.float64 import (
    check_float64,
    float64_types,
    reduce_keeping_dtypes,
    with_float64,
)
from examine_jax.scoring.equations.inputs import check_mask, non_finite_rows
from examine_jax.scoring.equations.rows import mean_rounding, prepare
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.spectrum import Newcomers, Spectrum, checked_rows

_EPSILON = 2.0**-52
# A removal is refused if rounding errors exceed this share of the remaining scatter's trace: the
# errors of gaps would exceed 1e-6 of the largest gap.
_MOST_ROUNDING = 1e-10


class SpectralSummary(NamedTuple):
    """The count, mean and centred scatter of a corpus; it scores members and newcomers.

    `of` makes a summary; every operation returns a new one. It is a pytree of float64 JAX arrays,
    independent of JAX's own 64-bit setting. It passes through jit, vmap and scan. There, an error
    that depends on values gives NaN instead of an exception.

    Attributes:
        count: [] the number of rows.
        mean: [D] the mean of the rows times `scale`.
        scatter: [D, D] sum of (f - mean)(f - mean)' over the rows times `scale`.
        scale: [] a power of two that brings the largest entry to 1..2, so that nothing overflows.
        mean_error: [] the error of the mean is at most this (Euclidean norm).
        scatter_error: [] the error of the scatter is at most this (spectral norm).

    Source: Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing sample
        variances, 1979.
    """

    count: Array  # type: ignore[assignment]
    mean: Array
    scatter: Array
    scale: Array
    mean_error: Array
    scatter_error: Array

    @classmethod
    def of(cls, features: ArrayLike, where: ArrayLike | None = None) -> "SpectralSummary":
        """The summary of rows.

        Args:
            features: [N, D] floating, N >= 1; the same rows as for `examine`. Products are computed
                in float64.
            where: [N] bool, True for rows that are present; the others may hold any values.

        Raises:
            ValueError: features are not [N, D] floating, or hold NaN or infinite entries (the
                message names the rows; under jit, the summary is NaN).
        """
        rows, traced = checked_rows(features)
        mask = check_mask(where, rows.shape[0])
        traced |= isinstance(mask, jax.core.Tracer)
        with float64_types():  # or JAX would turn float64 NumPy features into float32
            summary = _of(rows) if mask is None else _of_masked(rows, mask)
        if not traced and bool(jnp.isnan(summary.scale)):
            raise ValueError(non_finite_rows(rows, mask))
        return summary

    def update(self, features: ArrayLike, where: ArrayLike | None = None) -> "SpectralSummary":
        """The summary of the corpus and these rows together.

        Arguments and errors are as for `of`. Rows of another width are an error too.
        """
        rows, _ = checked_rows(features, self.mean.shape[0])
        return self.merge(SpectralSummary.of(rows, where))

    def merge(self, other: "SpectralSummary") -> "SpectralSummary":
        """The summary of two corpora together. Order and grouping change it only by rounding.

        Raises:
            ValueError: the other summary has another width.
        """
        self._check_width(other)
        check_float64(self)
        check_float64(other)
        with float64_types():  # or JAX would turn float64 NumPy arrays into float32
            return _merge(self, other)

    def remove(self, features: ArrayLike, where: ArrayLike | None = None) -> "SpectralSummary":
        """The summary of the corpus without these rows.

        Raises:
            ValueError: as for `of`; the rows have another width; there are more rows than the
                corpus has; the rows cannot have been in the corpus; or the remaining scatter is so
                small compared with the removed one that rounding errors would change the scores.
        """
        rows, _ = checked_rows(features, self.mean.shape[0])
        check_float64(self)
        taken = SpectralSummary.of(rows, where)
        with float64_types():
            left = _remove(self, taken)
        if not isinstance(left.count, jax.core.Tracer):
            _check_removal(self, taken, left)
        return left

    def spectrum(self, center: bool = False) -> Spectrum:
        """The eigendecomposition of the corpus' Gram matrix F'F, or of its centred scatter. O(D^3).

        It is computed once and scores any number of rows.
        """
        check_float64(self)
        with float64_types():
            return _spectrum(bool(center))(self)

    def examine(self, rows: ArrayLike, center: bool = False) -> Examination:
        """`spectrum(center).examine(rows)`, for rows that are in the corpus."""
        return self.spectrum(center).examine(rows)

    def examine_new(self, rows: ArrayLike, center: bool = False) -> Newcomers:
        """`spectrum(center).examine_new(rows)`, for rows that are not in the corpus."""
        return self.spectrum(center).examine_new(rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the summary to one .npz file, completely or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        from examine_jax.scoring.summary_file import write_summary

        check_float64(self)
        write_summary(path, self._asdict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "SpectralSummary":
        """Reads a file that `save` wrote. Nothing is unpickled.

        Raises:
            ValueError: the file is not a summary, has another version, or is truncated or damaged.
            OSError: the file cannot be read.
        """
        from examine_jax.scoring.summary_file import read_summary

        arrays = read_summary(path, cls._fields)
        with float64_types():
            return cls(**{name: jnp.asarray(array) for name, array in arrays.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies keep float64, whatever JAX's own 64-bit setting."""
        return reduce_keeping_dtypes(self)

    def _check_width(self, other: "SpectralSummary") -> None:
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"the summaries have {self.mean.shape[0]} and {other.mean.shape[0]} columns: "
                "only features of one encoder can be merged"
            )


def _check_removal(before: SpectralSummary, taken: SpectralSummary, left: SpectralSummary) -> None:
    count, number = int(before.count), int(taken.count)
    if number > count:
        raise ValueError(f"cannot remove {number} rows from a summary of {count}")
    if bool(_impossible(left)):
        raise ValueError(
            f"these {number} rows cannot all have been among the {count} rows of the summary: "
            "without them its scatter would be negative"
        )
    if bool(_cancelled(left)):
        raise ValueError(
            f"after removing these {number} of {count} rows, rounding errors are too large: "
            "make a new summary of the remaining rows"
        )


def _trace(summary: SpectralSummary) -> Array:
    return jnp.trace(summary.scatter)


@with_float64
def _impossible(left: SpectralSummary) -> Array:
    return jnp.any(jnp.diagonal(left.scatter) < -2 * left.scatter_error)


@with_float64
def _cancelled(left: SpectralSummary) -> Array:
    return (left.count >= 2) & (left.scatter_error > _MOST_ROUNDING * _trace(left))


def summarise_rows(features: Array, where: Array | None) -> SpectralSummary:
    """The summary of rows; traced with 64-bit types on."""
    rows = prepare(features, where, center=True)
    assert rows.mean is not None
    assert rows.mean_rest is not None
    matrix = scatter(rows, jnp.float64)
    width, number = features.shape[1], features.shape[0]
    mean = rows.mean + rows.mean_rest
    several = rows.present > 1
    # The scatter about a mean with an error of e is too large by N e e'.
    centring_error = mean_rounding(number, jnp.trace(matrix), rows.present)
    scatter_error = rounding(width, number) * jnp.trace(matrix) + rows.present * centring_error**2
    # The stored mean is rounded once more. A single row is its own mean exactly.
    mean_error = jnp.where(several, centring_error + _EPSILON * _length(mean), 0)
    matrix = jnp.where(several | jnp.isnan(rows.scale), matrix, 0)
    poison = jnp.where(jnp.isnan(rows.scale), jnp.nan, 0)
    return SpectralSummary(
        rows.present,
        mean + poison,
        matrix + poison,
        rows.scale,
        mean_error + poison,
        jnp.where(several, scatter_error, 0) + poison,
    )


_of: Callable[..., SpectralSummary] = with_float64(lambda features: summarise_rows(features, None))
_of_masked: Callable[..., SpectralSummary] = with_float64(summarise_rows)


def _at_one_scale(
    one: SpectralSummary, other: SpectralSummary
) -> tuple[SpectralSummary, SpectralSummary]:
    """Both summaries at the scale of the one with the larger entries; zeros have no scale."""

    def nothing(summary: SpectralSummary) -> Array:
        return (_trace(summary) == 0) & jnp.all(summary.mean == 0)

    scale = jnp.minimum(one.scale, other.scale)
    scale = jnp.where(nothing(one), other.scale, jnp.where(nothing(other), one.scale, scale))
    return _scaled(one, scale), _scaled(other, scale)


def _scaled(summary: SpectralSummary, scale: Array) -> SpectralSummary:
    ratio = scale / summary.scale  # a power of two: exact
    return SpectralSummary(
        summary.count,
        summary.mean * ratio,
        summary.scatter * ratio * ratio,
        scale,
        summary.mean_error * ratio,
        summary.scatter_error * ratio * ratio,
    )


def _length(vector: Array) -> Array:
    return jnp.sqrt(jnp.sum(vector**2))


def merged(one: SpectralSummary, other: SpectralSummary) -> SpectralSummary:
    """The summary of two corpora together; traced with 64-bit types on."""
    one, other = _at_one_scale(one, other)
    count = one.count + other.count
    share, other_share = (x.count / jnp.maximum(count, 1) for x in (one, other))
    weight = share * other.count
    apart = other.mean - one.mean
    # In this form, exchanging the two summaries gives bitwise the same result.
    mean = one.mean * share + other.mean * other_share
    matrix = (one.scatter + other.scatter) + weight * jnp.outer(apart, apart)
    lengths = _length(one.mean) + _length(other.mean)
    apart_error = one.mean_error + other.mean_error + _EPSILON * _length(apart)
    return SpectralSummary(
        count,
        mean,
        matrix,
        one.scale,
        one.mean_error * share + other.mean_error * other_share + 2 * _EPSILON * lengths,
        one.scatter_error
        + other.scatter_error
        + weight * (2 * _length(apart) + apart_error) * apart_error
        + 4 * _EPSILON * jnp.trace(matrix),
    )


_merge: Callable[..., SpectralSummary] = with_float64(merged)


@with_float64
def _remove(whole: SpectralSummary, part: SpectralSummary) -> SpectralSummary:
    whole, part = _at_one_scale(whole, part)
    count = whole.count - part.count
    share, part_share = (x.count / jnp.maximum(count, 1) for x in (whole, part))
    weight = part_share * whole.count
    apart = part.mean - whole.mean
    mean = whole.mean - apart * part_share
    matrix = whole.scatter - part.scatter - weight * jnp.outer(apart, apart)
    apart_error = whole.mean_error + part.mean_error + _EPSILON * _length(apart)
    mean_error = (
        whole.mean_error * share
        + part.mean_error * part_share
        + 4 * _EPSILON * _length(apart) * part_share
    )
    scatter_error = (
        whole.scatter_error
        + part.scatter_error
        + weight * (2 * _length(apart) + apart_error) * apart_error
        + 4 * _EPSILON * (_trace(whole) + _trace(part))
    )
    # The scatter of one row is 0, and so is the mean of no rows. A negative count gives NaN.
    poison = jnp.where(count < 0, jnp.nan, 0)
    some, several = count > 0, count > 1
    return SpectralSummary(
        count + poison,
        jnp.where(some, mean, 0) + poison,
        jnp.where(several, matrix, 0) + poison,
        whole.scale,
        jnp.where(some, mean_error + 2 * _EPSILON * _length(mean), 0) + poison,
        jnp.where(several, scatter_error, 0) + poison,
    )


def _eigendecomposition(summary: SpectralSummary, center: bool) -> Spectrum:
    matrix, error = summary.scatter, summary.scatter_error
    if not center:
        matrix = matrix + summary.count * jnp.outer(summary.mean, summary.mean)
        length = _length(summary.mean)
        error = error + summary.count * (2 * length + summary.mean_error) * summary.mean_error
    values, vectors = decompose(matrix)
    shift = error + rounding(matrix.shape[0], 1) * jnp.sum(values)
    system = Eigensystem(values, vectors, shift, rotation_bound(shift, values))
    mean, row_error = (
        (summary.mean, summary.mean_error) if center else (None, jnp.zeros_like(summary.mean_error))
    )
    return Spectrum(system, mean, summary.count, summary.scale, row_error)


_spectra: dict[bool, Callable[..., Spectrum]] = {
    center: with_float64(lambda summary, center=center: _eigendecomposition(summary, center))
    for center in (False, True)
}


def _spectrum(center: bool) -> Callable[..., Spectrum]:
    return _spectra[center]
