"""The summary of a corpus: it scores members and new rows without the corpus' rows."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import Array
from examine_jax.scoring.equations import double_double, moments
from examine_jax.scoring.equations.blas_threads import call_for
from examine_jax.scoring.equations.double_double import Pair
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
from examine_jax.scoring.equations.moments import Moments
from examine_jax.scoring.equations.rows import prepare
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.padding import is_traced, pad
from examine_jax.scoring.spectrum import Newcomers, Spectrum, checked_rows

# A removal is refused if rounding errors exceed this share of the remaining scatter's trace: the
# errors of gaps would exceed 1e-6 of the largest gap.
_MOST_ROUNDING = 1e-10
# The summary of so few rows is computed as exactly as that of one row, row by row.
_FEW_ROWS = 64
_FEW_PRODUCTS = 2**18  # N D^2


class SpectralSummary(NamedTuple):
    """The count, mean and centred scatter of a corpus; it scores members and newcomers.

    `of` makes a summary; every operation returns a new one. It is a pytree of float64 JAX arrays,
    independent of JAX's own 64-bit setting. It passes through jit, vmap and scan. There, an error
    that depends on values gives NaN instead of an exception.

    Mean and scatter are kept with their rounding errors, to about 106 bits. So a window may slide
    over a stream: single rows (and small sets of rows) are added and removed millions of times,
    and errors do not build up.

    Attributes:
        count: [] the number of rows.
        mean: [D] the mean of the rows times `scale`.
        scatter: [D, D] sum of (f - mean)(f - mean)' over the rows times `scale`.
        scale: [] a power of two that brings the largest entry to 1..2, so that nothing overflows.
        mean_error: [] the error of the mean is at most this (Euclidean norm).
        scatter_error: [] the error of the scatter is at most this (spectral norm).
        mean_rest: [D] the mean's rounding error: mean + mean_rest is more exact.
        scatter_rest: [D, D] the scatter's rounding error.
        rest_errors: [2] the errors of mean + mean_rest and of scatter + scatter_rest are at most
            these.

    The last three may be None: then mean and scatter are all that is known.

    Source: Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing sample
        variances, 1979.
    """

    count: Array  # type: ignore[assignment]
    mean: Array
    scatter: Array
    scale: Array
    mean_error: Array
    scatter_error: Array
    mean_rest: Array | None = None
    scatter_rest: Array | None = None
    rest_errors: Array | None = None

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
        rows = checked_rows(features)
        mask = check_mask(where, rows.shape[0])
        width = rows.shape[1]
        limits = (1, _FEW_ROWS, _FEW_PRODUCTS // width**2)
        padded = pad(rows, mask, limits, costly_too=True)
        with float64_types():  # or JAX would turn float64 NumPy features into float32
            if padded.where is None:
                summary = _of(padded.rows)
            else:
                summary = _of_masked(padded.rows, padded.where)
        if not is_traced(summary) and bool(jnp.isnan(summary.scale)):
            raise ValueError(non_finite_rows(rows, mask))
        return summary

    def update(self, features: ArrayLike, where: ArrayLike | None = None) -> "SpectralSummary":
        """The summary of the corpus and these rows together.

        Arguments and errors are as for `of`. Rows of another width are an error too.
        """
        rows = checked_rows(features, self.mean.shape[0])
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
        rows = checked_rows(features, self.mean.shape[0])
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
            return call_for(self.mean.shape[0], _spectrum(bool(center)), self)

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
        with float64_types():
            write_summary(path, _complete(self)._asdict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "SpectralSummary":
        """Reads a file that `save` wrote. Nothing is unpickled.

        Raises:
            ValueError: the file is not a summary, has another version, or is truncated or damaged.
            OSError: the file cannot be read.
        """
        from examine_jax.scoring.summary_file import read_summary

        arrays = read_summary(path, cls._fields[:_REQUIRED], cls._fields[_REQUIRED:])
        with float64_types():
            return _complete(cls(**on_device(arrays)))

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


_REQUIRED = 6  # the fields without a default


def _complete(summary: SpectralSummary) -> SpectralSummary:
    """The summary with its last fields, if it was made or saved without them."""
    known = all(value is not None for value in summary)
    return summary if known else _compiled_with_rest(summary)


def _with_rest(summary: SpectralSummary) -> SpectralSummary:
    """As `_complete`; traced, so that no zeros are moved to a device."""
    if all(value is not None for value in summary):
        return summary
    return summary._replace(
        mean_rest=jnp.zeros_like(summary.mean),
        scatter_rest=jnp.zeros_like(summary.scatter),
        rest_errors=jnp.stack([summary.mean_error, summary.scatter_error]),
    )


_compiled_with_rest: Callable[..., SpectralSummary] = with_float64(_with_rest)


def _moments(summary: SpectralSummary) -> Moments:
    summary = _with_rest(summary)
    assert summary.mean_rest is not None
    assert summary.scatter_rest is not None
    assert summary.rest_errors is not None
    return Moments(
        summary.count,
        Pair(summary.mean, summary.mean_rest),
        Pair(summary.scatter, summary.scatter_rest),
        summary.rest_errors[0],
        summary.rest_errors[1],
    )


def _summary(found: Moments, scale: Array, poison: Array | float = 0.0) -> SpectralSummary:
    mean, scatter = found.mean, found.scatter
    # Whoever compares the scatter with a sum of float64 products has that sum's rounding too.
    of_products = rounding(len(mean.high), 1) * jnp.trace(scatter.high)
    return SpectralSummary(
        found.count + poison,
        mean.high + poison,
        scatter.high + poison,
        scale,
        found.mean_error + moments.length(mean.low) + poison,
        found.scatter_error + of_products + poison,
        mean.low + poison,
        scatter.low + poison,
        jnp.stack([found.mean_error, found.scatter_error]) + poison,
    )


def summarise_rows(features: Array, where: Array | None) -> SpectralSummary:
    """The summary of rows; traced with 64-bit types on."""
    number, width = features.shape
    rows = prepare(features, where, center=False)
    poison = jnp.where(jnp.isnan(rows.scale), jnp.nan, 0)
    if number == 1 or (number <= _FEW_ROWS and number * width**2 <= _FEW_PRODUCTS):
        return _summary(moments.of_few_rows(rows), rows.scale, poison)
    mean, mean_error = moments.mean_of(rows)
    matrix = scatter(rows._replace(mean=mean.high, mean_rest=mean.low), jnp.float64)
    several = rows.present > 1
    scatter_error = rounding(width, number) * jnp.trace(matrix) + rows.present * mean_error**2
    found = Moments(
        rows.present,
        mean,
        double_double.exact(jnp.where(several, matrix, 0)),
        jnp.where(several, mean_error, 0),  # a single row is its own mean exactly
        jnp.where(several, scatter_error, 0),
    )
    return _summary(found, rows.scale, poison)


_of: Callable[..., SpectralSummary] = with_float64(lambda features: summarise_rows(features, None))
_of_masked: Callable[..., SpectralSummary] = with_float64(summarise_rows)


def _at_one_scale(one: SpectralSummary, other: SpectralSummary) -> tuple[Moments, Moments, Array]:
    """Both summaries at the scale of the one with the larger entries; zeros have no scale."""

    def nothing(summary: SpectralSummary) -> Array:
        return (_trace(summary) == 0) & jnp.all(summary.mean == 0)

    scale = jnp.minimum(one.scale, other.scale)
    scale = jnp.where(nothing(one), other.scale, jnp.where(nothing(other), one.scale, scale))
    return _scaled(one, scale), _scaled(other, scale), scale


def _scaled(summary: SpectralSummary, scale: Array) -> Moments:
    ratio = scale / summary.scale  # a power of two: exact
    found = _moments(summary)
    return Moments(
        found.count,
        Pair(*(part * ratio for part in found.mean)),
        Pair(*(part * ratio * ratio for part in found.scatter)),
        found.mean_error * ratio,
        found.scatter_error * ratio * ratio,
    )


def merged(one: SpectralSummary, other: SpectralSummary) -> SpectralSummary:
    """The summary of two corpora together; traced with 64-bit types on."""
    first, second, scale = _at_one_scale(one, other)
    return _summary(moments.together(first, second), scale)


_merge: Callable[..., SpectralSummary] = with_float64(merged)


@with_float64
def _remove(whole: SpectralSummary, part: SpectralSummary) -> SpectralSummary:
    all_, gone, scale = _at_one_scale(whole, part)
    left = moments.without(all_, gone)
    # A negative count gives NaN.
    return _summary(left, scale, jnp.where(left.count < 0, jnp.nan, 0))


def _eigendecomposition(summary: SpectralSummary, center: bool) -> Spectrum:
    found = _moments(summary)
    matrix, error = (found.scatter, found.scatter_error) if center else moments.gram(found)
    values, vectors = decompose(matrix.high)
    size = len(summary.mean)
    shift = error + moments.length(matrix.low) + rounding(size, 1) * jnp.sum(values)
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
