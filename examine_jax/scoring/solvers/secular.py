"""EXAMINE from one eigendecomposition and one secular equation per row: the default solver."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations import secular_equation as equation
from examine_jax.scoring.equations.eigensystem import (
    LEAD,
    Eigensystem,
    exact_eigensystem,
    gram_of_rows,
    orthogonal_to_ones,
    refined_eigensystem,
    rounding,
    scatter,
)
from examine_jax.scoring.equations.piecewise_products import (
    Products,
    product_error,
    products_of_device,
    products_with,
)
from examine_jax.scoring.equations.rows import (
    Rows,
    map_blocks,
    mean_rounding,
    over_devices,
    rows_dtype,
    true_on_all_devices,
)
from examine_jax.scoring.examination import Examination, Path, examination_of, underflow_bound

# Products of at most this many multiplications are computed in float64 directly: that takes less
# time than checking a float32 result.
CHEAP_PRODUCT = 2**31
# A float32 result is returned if its error bounds are below these shares of the largest gap, and of
# each gap that is over 1% of the largest gap.
_SHARE_OF_LARGEST = 1e-6
_SHARE_OF_OWN = 1e-5
# So many rows with larger bounds are projected again in float64, before all products are.
_FEW = 128


def full_path_limits(width: int) -> tuple[int, ...]:
    """The numbers of rows up to which an N x N Gram matrix and float64 products are used."""
    return width, CHEAP_PRODUCT // width**2


@dataclasses.dataclass(frozen=True)
class Secular:
    """All N leave-one-out values from one eigendecomposition and N roots.

    The smaller of the two Gram matrices is decomposed. Time: O(N D min(N, D)) for the products and
    O(min(N, D)^3) for the eigendecomposition. Memory: the features', and O(D^2 + N) more if N >= D.

    For float32 features, matrix products are computed in float32 (at the device's highest
    precision), and in float64 wherever float32 would lose accuracy. If an error bound exceeds 1e-6
    of the largest gap (or 1e-5 of a gap over 1% of the largest), the row is projected again in
    float64. If there are many such rows, or that does not help, all products are computed again in
    float64. For float64 features, everything is computed in float64.

    Attributes:
        tolerance: the relative change of a root at which its iteration stops. None: 1e-10 for
            float32 features, 4e-16 for float64.
        products: how the leading eigenvectors of float32 features are multiplied: in "float64", or
            in "pieces", exact float32 products of parts of both factors, for devices whose float64
            is slow. None: as suits the device.

    Source: rank-one modification of the symmetric eigenproblem, Bunch, Nielsen & Sorensen, Numer.
        Math. 31:31 (1978).
    """

    tolerance: float | None = None
    products: Products | None = None

    sums_over_devices: ClassVar[bool] = True
    few_sizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError(f"Secular: tolerance must be between 0 and 1, got {self.tolerance!r}")

    def row_limits(self, width: int) -> tuple[int, ...]:
        return full_path_limits(width)

    def solve(self, rows: Rows) -> Examination:
        """The examination of scaled rows; traced with 64-bit types on."""
        count, width = rows.total, rows.features.shape[1]
        if rows.features.dtype == jnp.float64:
            return self._full(rows)
        if count <= width or count * width * width <= CHEAP_PRODUCT:
            return self._full(rows)
        quick, usable = self._from_float32_products(rows)
        result: Examination = lax.cond(usable, lambda: quick, lambda: self._full(rows))
        return result

    def solve_decomposed(self, rows: Rows, system: Eigensystem) -> Examination:
        """The examination of no more rows than columns, from the eigensystem of F F'.

        Of the features, only shape and dtype are used.
        """
        roots = equation.solve(*_of_left_vectors(rows, system), self._tolerance(rows))
        return examination_of(roots, system.values[0], rows, Path.FULL_FLOAT64)

    def _tolerance(self, rows: Rows) -> float:
        return self.tolerance or (4e-16 if rows.features.dtype == jnp.float64 else 1e-10)

    def _from_float32_products(self, rows: Rows) -> tuple[Examination, Array]:
        """The examination from float32 products, and whether all error bounds are small enough.

        A few rows whose bounds are too large are projected again in float64.
        """
        products = self.products or products_of_device()
        system = refined_eigensystem(rows, scatter(rows, jnp.float32), products)
        roots = self._roots(rows, system, jnp.float32, products)
        excess = _excess(roots, system, rows)[1]
        number = jnp.sum(excess > 0)
        few = true_on_all_devices(rows, number <= _FEW)

        def again() -> equation.Roots:
            worst = lax.top_k(excess, min(_FEW, excess.shape[0]))[1]
            renewed = self._roots(rows, system, jnp.float64, products, worst)
            # All rows of a block take the same steps.
            renewed = renewed._replace(steps=jnp.maximum(renewed.steps, roots.steps[worst]))
            merged: equation.Roots = jax.tree.map(
                lambda all_, new: all_.at[worst].set(new), roots, renewed
            )
            return merged

        roots = lax.cond(few & (number > 0), again, lambda: roots)
        quick, excess = _excess(roots, system, rows)
        return quick, true_on_all_devices(rows, ~jnp.any(excess > 0))

    def _full(self, rows: Rows) -> Examination:
        """The examination from float64 products."""
        count, width = rows.total, rows.features.shape[1]
        if count <= width:
            return self.solve_decomposed(rows, exact_eigensystem(gram_of_rows(rows), width))
        system = exact_eigensystem(scatter(rows, jnp.float64), count)
        roots = self._roots(rows, system, jnp.float64, "float64")
        return examination_of(roots, system.values[0], rows, Path.FULL_FLOAT64)

    def _roots(
        self,
        rows: Rows,
        system: Eigensystem,
        dtype: DTypeLike,
        products: Products,
        indices: Array | None = None,
    ) -> equation.Roots:
        return solve_rows(
            rows, system, dtype, self._tolerance(rows), products=products, indices=indices
        )


def _excess(roots: equation.Roots, system: Eigensystem, rows: Rows) -> tuple[Examination, Array]:
    """The examination, and the factor by which each row's bound exceeds the allowed one, minus 1.

    It is 0 for good bounds. With NaN features there is nothing to improve, and all count as good.
    """
    found = examination_of(roots, system.values[0], rows, Path.FULL_FLOAT32)
    largest = over_devices(rows, jnp.max(found.gap), lax.pmax)
    allowed = jnp.where(
        found.gap > 0.01 * largest,
        jnp.minimum(_SHARE_OF_OWN * found.gap, _SHARE_OF_LARGEST * largest),
        _SHARE_OF_LARGEST * largest,
    )
    allowed += underflow_bound(rows)
    good = (found.error_bound <= allowed) | jnp.isnan(largest)
    excess = found.error_bound / allowed - 1
    return found, jnp.where(good, 0, jnp.where(jnp.isnan(excess), jnp.inf, excess))


def _poles(values: Array) -> tuple[Array, Array]:
    """g_j = k_1 - k_j for j > 1: the LEAD nearest, and the rest. Missing ones are set to k_1."""
    gaps = values[0] - values[1:]
    missing = max(0, LEAD + 1 - gaps.shape[0])
    gaps = jnp.concatenate([gaps, jnp.broadcast_to(values[0], (missing,))])
    return gaps[:LEAD], gaps[LEAD:]


def _of_left_vectors(
    rows: Rows, system: Eigensystem
) -> tuple[equation.Coordinates, equation.Errors]:
    """Coordinates z_ij = sqrt(k_j) u_ij of all rows, from an N x N Gram matrix with vectors u_j."""
    values, downdate = system.values, rows.downdate
    squares = orthogonal_to_ones(rows, system.vectors) ** 2 * (values * downdate)
    rest = jnp.pad(squares[:, 1:], ((0, 0), (0, max(0, LEAD + 1 - squares.shape[1] + 1))))
    lead_poles, tail_poles = _poles(values)
    coordinates = equation.Coordinates(
        squares[:, 0], rest[:, :LEAD].T, lead_poles, rest[:, LEAD:], tail_poles
    )
    size = values.shape[0]
    norm = jnp.sqrt(jnp.sum(squares, 1))
    scale = jnp.sqrt(values[0] * downdate)
    first = scale * (
        system.first_error * jnp.sqrt(jnp.sum(system.vectors[:, 1:] ** 2, 1)) + size * 2.0**-52
    )
    # The error of G also rotates u_j within the orthogonal complement of u_1. `shift` covers this
    # in the resolvent, so only rounding is added here.
    rest_error = scale * size * 2.0**-52
    rest_error = jnp.broadcast_to(rest_error, norm.shape)
    errors = equation.Errors(
        first, system.shift, 0.0, rest_error, jnp.zeros_like(norm), norm, 2.0**-50
    )
    return coordinates, errors


def solve_rows(
    rows: Rows,
    system: Eigensystem,
    dtype: DTypeLike,
    tolerance: float,
    row_error: Array | float = 0.0,
    products: Products = "float64",
    indices: Array | None = None,
) -> equation.Roots:
    """Roots of rows from a D x D eigensystem, projected and solved block by block.

    Args:
        rows: [N, D].
        system: the eigensystem of a D x D Gram matrix.
        dtype: that of the products with the tail's eigenvectors.
        tolerance: the relative change of a root at which its iteration stops.
        row_error: Euclidean norm of an error that all rows share, besides rounding, such as the
            error of a summary's mean.
        products: how products with the leading eigenvectors are computed.
        indices: [M] the rows to solve. None: all.
    """
    if rows.mean_rest is not None:
        row_error += mean_rounding(rows.total, jnp.sum(system.values), rows.present)
    if indices is not None:
        where = None if rows.where is None else rows.where[indices]
        rows = rows._replace(features=rows.features[indices], where=where)
    width = rows.features.shape[1]
    lead_vectors = system.vectors[:, : LEAD + 1]
    lead_vectors = jnp.pad(lead_vectors, ((0, 0), (0, LEAD + 1 - lead_vectors.shape[1])))
    tail_vectors = system.vectors[:, LEAD + 1 :]
    lead_poles, tail_poles = _poles(system.values)
    tail_vectors = jnp.pad(tail_vectors, ((0, 0), (0, tail_poles.shape[0] - tail_vectors.shape[1])))
    downdate = jnp.asarray(rows.downdate, jnp.float64)
    epsilon = float(np.finfo(np.dtype(dtype)).eps)
    inexact = product_error(products, width)
    # Rows that are not centred are multiplied without their scale. One factor of the scale
    # multiplies the vectors, the other multiplies the products.
    inner = outer = jnp.float64(1)
    if rows.mean is None:
        inner = jnp.clip(rows.scale, 2.0**-30, 2.0**30)
        outer = rows.scale / inner
        rows = rows._replace(unscaled=True)
    lead_vectors, tail_vectors = lead_vectors * inner, (tail_vectors * inner).astype(dtype)

    def solve_block(block: Array) -> equation.Roots:
        # [1 + LEAD, B]
        lead = (products_with(block, products).times(lead_vectors).T * outer) ** 2 * downdate
        tail = jnp.matmul(block.astype(dtype), tail_vectors, precision=lax.Precision.HIGHEST)
        tail = (tail * outer.astype(dtype)) ** 2 * downdate.astype(dtype)
        # This is used only in bounds, so the precision of `tail` is enough. A matrix product is
        # faster than a sum here.
        squares = jnp.matmul(
            tail, jnp.ones(tail.shape[1], tail.dtype), precision=lax.Precision.HIGHEST
        )
        norm = jnp.sqrt(jnp.sum(lead, 0) + squares.astype(jnp.float64))
        shared = row_error * jnp.sqrt(downdate)
        coordinates = equation.Coordinates(lead[0], lead[1:], lead_poles, tail, tail_poles)
        errors = equation.Errors(
            first=norm * (system.first_error + rounding(width, 1) + inexact) + shared,
            shift=system.shift if system.lead_shift is None else system.lead_shift,
            tail_shift=0.0 if system.lead_shift is None else system.shift,
            rest=norm * (2.0**-51 * width**0.5 + inexact) + shared,
            tail=norm * epsilon / 2,  # 5 times the observed error of a dot product in `dtype`
            norm=norm,
            relative=8 * epsilon,
        )
        return equation.solve(coordinates, errors, tolerance)

    # A centred row is rounded to float32 only for the tail's product: its leading coordinates may
    # be small compared with the row, and need float64.
    return map_blocks(rows, solve_block, jnp.float64 if rows.mean is not None else rows_dtype(rows))
