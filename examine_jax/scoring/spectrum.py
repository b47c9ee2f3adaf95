"""The eigendecomposition of a corpus: scores its members, and images that would join it, without its rows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations import newcomer_equation as equation
from examine_jax.scoring.equations.eigensystem import Eigensystem, rounding
from examine_jax.scoring.equations.float64 import with_float64
from examine_jax.scoring.equations.inputs import non_finite_rows
from examine_jax.scoring.equations.rows import Rows, map_blocks, rows_dtype, unit_scale
from examine_jax.scoring.equations.secular_equation import Roots
from examine_jax.scoring.examination import Examination, Path, examination_of
from examine_jax.scoring.solvers.secular import solve_rows


class Newcomers(NamedTuple):
    """EXAMINE of rows that would join a corpus, each by itself: how much the top singular value would rise."""

    score: Array  # [M] exp(-gap)
    gap: Array  # [M] sigma with the row - sigma of the corpus, in the features' units; rank by this (smaller is better)
    singular_value: Array  # [] sigma of the corpus
    singular_value_with: Array  # [M] sigma of the corpus with row i
    error_bound: Array  # [M] the gap is off by no more than this


class Spectrum(NamedTuple):
    """Eigenvalues and eigenvectors of a corpus' Gram matrix. Make it with `SpectralSummary.spectrum`.

    All in float64, of the features times `scale`. A pytree: passes through jit and vmap.
    """

    system: Eigensystem
    mean: Array | None  # [D]; None where rows are not centred
    count: Array  # type: ignore[assignment]  # [] rows of the corpus
    scale: Array  # [] a power of two
    row_error: Array  # [] Euclidean norm of the error of the mean, where it is subtracted

    def examine(self, rows: Any) -> Examination:
        """EXAMINE of rows that are in the corpus: how much its top singular value falls without each.

        O(D^2) a row. Whether the rows are in the corpus cannot be checked.

        Args:
            rows: [M, D] floating, M >= 1, as they were when the corpus was summarised.

        Returns:
            `Examination` of M rows, in float64 for float64 rows, else in float32.

        Raises:
            ValueError: rows not [M, D] floating, or NaN or infinite (under jit: NaN for these rows); a corpus of fewer than two rows.
        """
        rows, traced = checked_rows(rows, self.system.values.shape[0])
        if not isinstance(self.count, jax.core.Tracer) and float(self.count) < 2:
            raise ValueError(f"leaving one out needs a corpus of at least two rows; this one has {int(self.count)}")
        with jax.enable_x64(True):
            result = _examine(self, rows)
        if not traced and bool(jnp.any(jnp.isnan(result.gap))):
            raise ValueError(non_finite_rows(rows))
        return result

    def examine_new(self, rows: Any) -> Newcomers:
        """EXAMINE of rows that are not in the corpus: how much its top singular value would rise with each.

        O(D^2) a row. Centred, the mean too would be that of the corpus with the row.

        Args:
            rows: [M, D] floating, M >= 1, from the same encoder and preprocessing as the corpus.

        Returns:
            `Newcomers` of M rows, in float64 for float64 rows, else in float32.

        Raises:
            ValueError: rows not [M, D] floating, or NaN or infinite (under jit: NaN for these rows).
        """
        rows, traced = checked_rows(rows, self.system.values.shape[0])
        with jax.enable_x64(True):
            result = _examine_new(self, rows)
        if not traced and bool(jnp.any(jnp.isnan(result.gap))):
            raise ValueError(non_finite_rows(rows))
        return result


def checked_rows(rows: Any, width: int | None = None) -> tuple[Any, bool]:
    """Rows as a NumPy or JAX array, and whether they are traced. Raises ValueError where they are no rows of `width` columns."""
    if not isinstance(rows, jax.Array):
        rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[0] < 1 or rows.shape[1] < 1:
        raise ValueError(f"rows must be a matrix [M, D], one row an image, M >= 1; got shape {rows.shape}")
    if not jnp.issubdtype(rows.dtype, jnp.floating):
        raise ValueError(f"rows must be floating, got {rows.dtype}. Use rows.astype('float32')")
    if width is not None and rows.shape[1] != width:
        raise ValueError(
            f"the summary is of features with {width} columns, these rows have {rows.shape[1]}: use the encoder that made the corpus"
        )
    return rows, isinstance(rows, jax.core.Tracer)


def _finite(features: Array) -> Array:
    """[M] 1 where a row is finite, NaN where it is not: no number may come out of such a row."""
    return jnp.where(jnp.all(jnp.isfinite(features), 1), 1.0, jnp.nan)


def _tolerance(rows: Rows) -> float:
    return 4e-16 if rows.features.dtype == jnp.float64 else 1e-10


@with_float64
def _examine(spectrum: Spectrum, features: Array) -> Examination:
    system = spectrum.system
    rows = Rows(features, None, spectrum.scale, spectrum.mean, spectrum.count)
    roots = solve_rows(rows, system, jnp.float64, _tolerance(rows), row_error=spectrum.row_error)
    found = examination_of(roots, system.values[0], rows, Path.FULL_FLOAT64)
    # The corpus' own rounding may be above that of one Gram product: it moves sigma, and each gap in proportion.
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
    # As the caller gave them: a newcomer may be far larger than the corpus, so each gets a scale of its own.
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
            turn=system.first_error,
            shift=system.shift * ratio**2,
        )
        return Scaled(equation.solve(coordinates, errors, _tolerance(rows)), own)

    found = map_blocks(rows, solve_block, jnp.float64)
    return _newcomers_of(found.roots, found.scale, spectrum, rows)


def _newcomers_of(roots: Roots, scale: Array, spectrum: Spectrum, rows: Rows) -> Newcomers:
    """Gaps t / (sigma + sqrt(k_1 + t)) in the features' units and dtype."""
    dtype = rows_dtype(rows)
    unit = (scale / spectrum.scale) ** 2
    first, shift = spectrum.system.values[0] * unit, spectrum.system.shift * unit
    sigma, together = jnp.sqrt(first), jnp.sqrt(first + roots.t)
    gap = roots.t / jnp.where(together > 0, sigma + together, 1)
    lowest = jnp.sqrt(jnp.maximum(first + roots.t - roots.bound, 0))
    bound = jnp.minimum(roots.bound / jnp.maximum(lowest + together, 1e-300), jnp.sqrt(roots.bound))
    # An error of k_1 acts on the difference of the two square roots alone.
    bound += jnp.minimum(gap * shift / jnp.maximum(sigma * together, 1e-300), jnp.sqrt(shift))
    bound += 4 * float(jnp.finfo(dtype).eps) * gap + float(jnp.finfo(dtype).tiny) * scale * (gap > 0)
    poison = _finite(rows.features) * jnp.where(jnp.isnan(spectrum.scale), jnp.nan, 1)
    gap, bound, together = (x * poison / scale for x in (gap, bound, together))
    sigma = jnp.sqrt(spectrum.system.values[0]) / spectrum.scale
    return Newcomers(
        score=jnp.exp(-gap).astype(dtype),
        gap=gap.astype(dtype),
        singular_value=sigma.astype(dtype),
        singular_value_with=together.astype(dtype),
        error_bound=bound.astype(dtype),
    )
