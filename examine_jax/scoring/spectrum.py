"""The eigendecomposition of a corpus: it scores members and new rows without the corpus' rows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations import newcomer_equation as equation
from examine_jax.scoring.equations.eigensystem import Eigensystem, rounding
from examine_jax.scoring.equations.float64 import (
    check_float64,
    float64_types,
    reduce_keeping_dtypes,
    with_float64,
)
from examine_jax.scoring.equations.inputs import as_array, non_finite_rows
from examine_jax.scoring.equations.rows import Rows, map_blocks, rows_dtype, unit_scale
from examine_jax.scoring.equations.secular_equation import Roots
from examine_jax.scoring.examination import Examination, Path, examination_of, underflow_bound
from examine_jax.scoring.padding import is_traced, pad_by_repeating
from examine_jax.scoring.solvers.secular import solve_rows


class Newcomers(NamedTuple):
    """EXAMINE of newcomers: how much the corpus' top singular value would rise with each.

    A newcomer is a row that is not in the corpus.

    Attributes:
        score: [M] exp(-gap).
        gap: [M] (sigma of the corpus with the row) - sigma, in the features' units. Rank by this;
            smaller is better.
        singular_value: [] sigma, the top singular value of the corpus.
        singular_value_with: [M] the top singular value of the corpus with row i.
        error_bound: [M] the error of each gap is at most this.
    """

    score: Array
    gap: Array
    singular_value: Array
    singular_value_with: Array
    error_bound: Array

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies keep float64, whatever JAX's own 64-bit setting."""
        return reduce_keeping_dtypes(self)


class Spectrum(NamedTuple):
    """Eigenvalues and eigenvectors of a corpus' Gram matrix. Made by `SpectralSummary.spectrum`.

    All arrays are float64, and belong to the features times `scale`. A pytree that passes through
    jit and vmap.

    Attributes:
        system: the eigensystem.
        mean: [D] the mean of the rows; None if rows are not centred.
        count: [] rows of the corpus.
        scale: [] a power of two.
        row_error: [] Euclidean norm of the error of the mean; 0 if rows are not centred.
    """

    system: Eigensystem
    mean: Array | None
    count: Array  # type: ignore[assignment]
    scale: Array
    row_error: Array

    def examine(self, rows: ArrayLike) -> Examination:
        """EXAMINE of members: how much the corpus' top singular value falls without each.

        Time: O(D^2) per row. Whether the rows are in the corpus is not checked: it cannot be known.

        Args:
            rows: [M, D] floating, M >= 1, as they were when the corpus was summarised.

        Returns:
            `Examination` of M rows, in float64 for float64 rows, else in float32.

        Raises:
            ValueError: rows are not [M, D] floating, or hold NaN or infinite entries (under jit,
                these rows' results are NaN); the corpus has fewer than two rows.
        """
        given = checked_rows(rows, self.system.values.shape[0])
        check_float64(self)
        if not isinstance(self.count, jax.core.Tracer) and float(self.count) < 2:
            raise ValueError(
                "leaving one out needs a corpus of at least two rows; this one has "
                f"{int(self.count)}"
            )
        padded = pad_by_repeating(given)
        with float64_types():
            result = padded.trim(_examine(self, padded.rows))
        if not is_traced(result) and bool(np.isnan(result.gap).any()):
            raise ValueError(non_finite_rows(given))
        return result

    def examine_new(self, rows: ArrayLike) -> Newcomers:
        """EXAMINE of newcomers: how much the corpus' top singular value would rise with each.

        Time: O(D^2) per row. If rows are centred, the mean is that of the corpus with the new row.

        Args:
            rows: [M, D] floating, M >= 1, from the same encoder and preprocessing as the corpus.

        Returns:
            `Newcomers` of M rows, in float64 for float64 rows, else in float32.

        Raises:
            ValueError: rows are not [M, D] floating, or hold NaN or infinite entries (under jit,
                these rows' results are NaN).
        """
        given = checked_rows(rows, self.system.values.shape[0])
        check_float64(self)
        padded = pad_by_repeating(given)
        with float64_types():
            result = padded.trim(_examine_new(self, padded.rows))
        if not is_traced(result) and bool(np.isnan(result.gap).any()):
            raise ValueError(non_finite_rows(given))
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies keep float64, whatever JAX's own 64-bit setting."""
        return reduce_keeping_dtypes(self)


def checked_rows(rows: ArrayLike, width: int | None = None) -> jax.Array | np.ndarray:
    """Rows as a NumPy or JAX array.

    Raises:
        ValueError: rows are not [M, D] floating with M >= 1 and D = `width` (None: any width).
    """
    rows = as_array(rows)
    if rows.ndim != 2 or rows.shape[0] < 1 or rows.shape[1] < 1:
        raise ValueError(
            f"rows must be a matrix [M, D], one row per image, M >= 1; got shape {rows.shape}"
        )
    if not jnp.issubdtype(rows.dtype, jnp.floating):
        raise ValueError(f"rows must be floating, got {rows.dtype}. Use rows.astype('float32')")
    if width is not None and rows.shape[1] != width:
        raise ValueError(
            f"the summary is of features with {width} columns, these rows have {rows.shape[1]}: "
            "use the encoder that made the corpus"
        )
    return rows


def _finite(features: Array) -> Array:
    """[M] 1 for finite rows, NaN for the others, whose results must be NaN."""
    return jnp.where(jnp.all(jnp.isfinite(features), 1), 1.0, jnp.nan)


def _tolerance(rows: Rows) -> float:
    return 4e-16 if rows.features.dtype == jnp.float64 else 1e-10


@with_float64
def _examine(spectrum: Spectrum, features: Array) -> Examination:
    system = spectrum.system
    rows = Rows(features, None, spectrum.scale, spectrum.mean, spectrum.count)
    roots = solve_rows(rows, system, jnp.float64, _tolerance(rows), row_error=spectrum.row_error)
    found = examination_of(roots, system.values[0], rows, Path.FULL_FLOAT64)
    # The summary's rounding error may exceed that of one Gram product. It changes sigma, and every
    # gap by the same share.
    first = system.values[0]
    without = jnp.maximum(jnp.sqrt(jnp.maximum(first - roots.t, 0)), jnp.sqrt(system.shift))
    share = jnp.minimum(system.shift / jnp.maximum(jnp.sqrt(first) * without, 1e-300), 1)
    poison = _finite(features).astype(found.gap.dtype)
    return found._replace(
        score=found.score * poison,
        gap=found.gap * poison,
        loo_singular_values=found.loo_singular_values * poison,
        error_bound=found.error_bound * poison + (found.gap * share).astype(found.gap.dtype),
    )


@with_float64
def _examine_new(spectrum: Spectrum, features: Array) -> Newcomers:
    system, scale = spectrum.system, spectrum.scale
    width = features.shape[1]
    # A newcomer may be far larger than the corpus' rows, so each row gets its own scale below.
    rows = Rows(features, None, jnp.float64(1), None, spectrum.count)
    factor = 1.0 if spectrum.mean is None else spectrum.count / (spectrum.count + 1)
    gaps_of_values = system.values[0] - system.values[1:] if width > 1 else system.values
    noise = rounding(width, 1)

    class Scaled(NamedTuple):
        roots: Roots
        scale: Array

    def solve_block(block: Array) -> Scaled:
        own = jnp.minimum(scale, unit_scale(jnp.max(jnp.abs(block), 1), 1000))
        ratio = own / scale
        exact = block * own[:, None]
        if spectrum.mean is not None:
            exact = exact - spectrum.mean * ratio[:, None]
        squares = jnp.matmul(exact, system.vectors) ** 2 * factor
        norm = jnp.sqrt(jnp.sum(exact * exact, 1) * factor)
        rest = squares[:, 1:] if width > 1 else jnp.zeros_like(squares)
        coordinates = equation.NewCoordinates(squares[:, 0], rest, gaps_of_values, ratio**2)
        errors = equation.NewErrors(
            norm=norm,
            row=spectrum.row_error * ratio + noise * norm,
            first_vector=system.first_error,
            shift=system.shift * ratio**2,
        )
        return Scaled(equation.solve(coordinates, errors, _tolerance(rows)), own)

    found = map_blocks(rows, solve_block, jnp.float64)
    return _newcomers_of(found.roots, found.scale, spectrum, rows)


def _newcomers_of(roots: Roots, scale: Array, spectrum: Spectrum, rows: Rows) -> Newcomers:
    """The results from the roots t, in the features' units and dtype.

    The gaps are t / (sigma + sqrt(k_1 + t)).
    """
    dtype = rows_dtype(rows)
    unit = (scale / spectrum.scale) ** 2
    first, shift = spectrum.system.values[0] * unit, spectrum.system.shift * unit
    sigma, together = jnp.sqrt(first), jnp.sqrt(first + roots.t)
    gap = roots.t / jnp.where(together > 0, sigma + together, 1)
    lowest = jnp.sqrt(jnp.maximum(first + roots.t - roots.bound, 0))
    bound = jnp.minimum(roots.bound / jnp.maximum(lowest + together, 1e-300), jnp.sqrt(roots.bound))
    # An error of k_1 moves both square roots together, so it changes only their difference.
    bound += jnp.minimum(gap * shift / jnp.maximum(sigma * together, 1e-300), jnp.sqrt(shift))
    bound += 4 * float(np.finfo(dtype).eps) * gap
    poison = _finite(rows.features) * jnp.where(jnp.isnan(spectrum.scale), jnp.nan, 1)
    gap, bound, together = (x * poison / scale for x in (gap, bound, together))
    bound += underflow_bound(rows._replace(present=spectrum.count + 1))
    sigma = jnp.sqrt(spectrum.system.values[0]) / spectrum.scale
    return Newcomers(
        score=jnp.exp(-gap).astype(dtype),
        gap=gap.astype(dtype),
        singular_value=sigma.astype(dtype),
        singular_value_with=together.astype(dtype),
        error_bound=bound.astype(dtype),
    )
