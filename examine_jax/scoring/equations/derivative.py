"""Derivatives of an examination with respect to its features, for every solver.

If the top singular value sigma is simple, d sigma = u' dF v with the top singular vectors u and v.
The same holds for sigma_i, with the top singular vectors of the features without row i. Let v_j be
the eigenvectors of the Gram matrix G, k_j its eigenvalues, g_j = k_1 - k_j and z_j = f_i . v_j. Let
t be the drop of the largest eigenvalue without row i. The top right singular vector without row i
is

    x = (v_1 + d) / |v_1 + d|,
    d_j = -z_1 z_j / ((1 + S) (g_j - t)),    S = sum_{j>1} z_j^2 / (g_j - t).

So d alone gives the gap's derivative, without a difference of two nearly equal vectors. The vectors
are computed in float64. The map from dF to the tangents is linear and in the features' dtype, so
JAX can transpose and batch it.

Source: Magnus, Econometric Theory 1:179 (1985); Bunch, Nielsen & Sorensen, Numer. Math. 31:31
    (1978).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations import secular_equation as equation
from examine_jax.scoring.equations.eigensystem import (
    LEAD,
    decompose,
    gram_of_rows,
    orthogonal_to_ones,
    scatter,
)
from examine_jax.scoring.equations.float64 import float64_types, with_float64
from examine_jax.scoring.equations.replicated import placed_like, replicated
from examine_jax.scoring.equations.rows import Rows, block_of, map_blocks, prepare, rows_dtype
from examine_jax.scoring.examination import Diagnostics, Examination

_EPSILON = 2.0**-52
# Eigenvalues are moved apart by this share of the largest one. Then tied eigenvalues are distinct.
_APART = 2 * _EPSILON
# If less than this share of the largest eigenvalue remains, it is rounding: the value counts as 0.
_NOTHING = 2.0**-46


class _Vectors(NamedTuple):
    """Top right singular vectors, with all rows and without each, in the features' dtype.

    n = min(N, D).

    Attributes:
        basis: [D, n] v_1, v_2, ... in columns.
        coordinates: [N, n] of the (scaled, centred) rows in that basis.
        change: [N, n] x - (x . v_1) v_1, the part of the top vector without row i orthogonal to
            v_1.
        along: [N] x . v_1.
        difference: [N] 1 / sigma - (x . v_1)^2 / sigma_i.
        inverse: [N] 1 / sigma_i; 0 where sigma_i is 0.
        left_out: [N] f_i . x / sigma_i (centred: times N / (N - 1)).
        inverse_first: [] 1 / sigma; 0 where sigma is 0.
    """

    basis: Array
    coordinates: Array
    change: Array
    along: Array
    difference: Array
    inverse: Array
    left_out: Array
    inverse_first: Array


def differentiable(compute: Callable[..., Examination], center: bool) -> Callable[..., Examination]:
    """Gives `compute(features, [where]) -> Examination` first derivatives in the features.

    The largest singular value is a convex function of the matrix. Where it is tied, with all rows
    or without one, the derivative is computed from one of the tied singular vectors. It is finite,
    and an element of the subdifferential. A singular value of 0 has derivative 0. `error_bound` and
    `diagnostics` are treated as constants.
    """
    vectors_in_float64 = with_float64(
        lambda features, where=None: _vectors(prepare(features, where, center))
    )

    @jax.custom_jvp
    def vectors_of(*arguments: Any) -> _Vectors:
        return vectors_in_float64(*arguments)

    @vectors_of.defjvp
    def no_second_derivative(
        primals: tuple[Any, ...], tangents: tuple[Any, ...]
    ) -> tuple[_Vectors, _Vectors]:
        raise ValueError(
            "examine has first derivatives only: a Hessian needs differences of gradients, for "
            "instance of jax.grad"
        )

    @jax.custom_jvp
    def examination(*arguments: Any) -> Examination:
        return compute(*arguments)

    @examination.defjvp
    def derivative(
        primals: tuple[Any, ...], tangents: tuple[Any, ...]
    ) -> tuple[Examination, Examination]:
        features, *mask = primals
        # JAX may trace this rule later, outside the call of `examine`. Without 64-bit types it
        # would convert float64 features to float32.
        with float64_types():
            result = examination(*primals)
            change = replicated(jnp.asarray(tangents[0], result.gap.dtype))
            mask = [replicated(where) for where in mask]
            if mask:
                change = jnp.where(mask[0][:, None], change, 0)
            if center:
                count = (
                    jnp.maximum(jnp.sum(mask[0]), 1).astype(change.dtype)
                    if mask
                    else features.shape[0]
                )
                change = change - jnp.sum(change, 0) / count
                if mask:
                    change = jnp.where(mask[0][:, None], change, 0)
            sigma, gap = _tangents(vectors_of(*primals), change)
            sigma, gap = placed_like(sigma, result.singular_value), placed_like(gap, result.gap)
            zeros = [
                placed_like(jnp.zeros_like(x), x)
                for x in (result.error_bound, result.diagnostics.residual)
            ]
            tangent = Examination(
                score=-result.score * gap,
                gap=gap,
                singular_value=sigma,
                loo_singular_values=sigma - gap,
                error_bound=zeros[0],
                diagnostics=Diagnostics(
                    iterations=_no_tangent(result.diagnostics.iterations),
                    residual=zeros[1],
                    path=_no_tangent(result.diagnostics.path),
                ),
            )
        return result, tangent

    return examination


def _no_tangent(integers: Array) -> Any:
    return placed_like(np.zeros(integers.shape, jax.dtypes.float0), integers)


def _tangents(vectors: _Vectors, change: Array) -> tuple[Array, Array]:
    """Tangents of sigma [] and of the gaps [N], linear in `change`.

    `change` [N, D] is the tangent of the (centred) rows.
    """
    highest = lax.Precision.HIGHEST
    moved = jnp.matmul(change, vectors.basis, precision=highest)
    matrix = jnp.matmul(vectors.coordinates.T, moved, precision=highest)
    matrix = (matrix + matrix.T) / 2
    first = matrix[0, 0]
    # x' M x minus its part along v_1, where x = along * v_1 + change.
    product = jnp.matmul(vectors.change, matrix, precision=highest)
    quadratic = jnp.sum(product * vectors.change, 1) + 2 * vectors.along * product[:, 0]
    own = jnp.sum(moved * vectors.change, 1) + moved[:, 0] * vectors.along
    gap = vectors.difference * first - vectors.inverse * quadratic + vectors.left_out * own
    return vectors.inverse_first * first, gap


def _vectors(rows: Rows) -> _Vectors:
    """The singular vectors with all rows and without each; traced with 64-bit types on."""
    count, width = rows.features.shape
    dtype = rows_dtype(rows)
    if count <= width:
        values, left = decompose(gram_of_rows(rows))
        of_rows = orthogonal_to_ones(rows, left) * jnp.sqrt(values)
        found = _without(of_rows, values, rows.downdate)
        # v_j = F' u_j / sqrt(k_j); where k_j is 0, v_j is not needed.
        weights = left * jnp.where(values > 0, 1 / jnp.sqrt(jnp.where(values > 0, values, 1)), 0)
        basis = jnp.matmul(block_of(rows, 0, count, jnp.float64).T, weights)
    else:
        values, basis = decompose(scatter(rows, jnp.float64))

        def of_block(block: Array) -> _Without:
            found = _without(jnp.matmul(block, basis), values, rows.downdate)
            return _Without(*(x.astype(dtype) for x in found))

        found = map_blocks(rows, of_block, jnp.float64)
    first = jnp.sqrt(values[0])
    inverse_first = jnp.where(first > 0, 1 / jnp.where(first > 0, first, 1), 0)
    vectors = _Vectors(basis, *found, inverse_first)
    poison = jnp.where(jnp.isnan(rows.scale), jnp.nan, 0)
    return _Vectors(*((x + poison).astype(dtype) for x in vectors))


class _Without(NamedTuple):
    """The part of `_Vectors` that is computed block by block."""

    coordinates: Array
    change: Array
    along: Array
    difference: Array
    inverse: Array
    left_out: Array


def _without(coordinates: Array, values: Array, downdate: Array | float) -> _Without:
    """Top vectors without each of B rows, from the rows' coordinates [B, n]."""
    largest = values[0]
    size = values.shape[0]
    scaled = coordinates * jnp.sqrt(downdate)
    first = scaled[:, 0]
    poles = largest - values + jnp.arange(size) * _APART * largest
    missing = max(0, LEAD + 1 - (size - 1))
    padded = jnp.concatenate([poles[1:], jnp.broadcast_to(poles[-1] + largest, (missing,))])
    squares = jnp.pad(scaled[:, 1:] ** 2, ((0, 0), (0, missing)))
    equations = equation.Coordinates(
        first**2, squares[:, :LEAD].T, padded[:LEAD], squares[:, LEAD:], padded[LEAD:]
    )
    zeros = jnp.zeros_like(first)
    no_errors = equation.Errors(zeros, jnp.zeros_like(largest), 0.0, zeros, zeros, zeros, 0.0)
    t = jnp.minimum(equation.solve(equations, no_errors, _EPSILON).t, largest)
    if size > 1:
        others = scaled[:, 1:]
        room = poles[None, 1:] - t[:, None]
        resolvent = others / jnp.where(room > 0, room, 1) * (room > 0)
        # The root may be so close to the nearest pole that rounding destroys their distance. Then
        # that pole's term is computed from the secular equation.
        nearest = jnp.where(jnp.abs(others[:, 0]) > 1e-60, others[:, 0], 1e-60)
        total = first**2 / jnp.where(t > 0, t, 1)
        term = total - 1 - jnp.sum(others[:, 1:] * resolvent[:, 1:], 1)
        close = (t > poles[1] / 2) & (term * poles[1] > room[:, 0] * total)
        resolvent = resolvent.at[:, 0].set(jnp.where(close, term / nearest, resolvent[:, 0]))
        total = 1 + jnp.sum(others[:, 1:] * resolvent[:, 1:], 1) + nearest * resolvent[:, 0]
        direction = -first[:, None] * resolvent / total[:, None]  # d
        direction = jnp.pad(direction, ((0, 0), (1, 0)))
    else:
        direction = jnp.zeros_like(coordinates)
    length = jnp.sqrt(1 + jnp.sum(direction * direction, 1))
    along = 1 / length
    change = direction / length[:, None]
    left = largest - t
    something = left > _NOTHING * largest
    inverse = jnp.where(something, 1 / jnp.sqrt(jnp.where(something, left, 1)), 0)
    sigma = jnp.sqrt(largest)
    inverse_first = jnp.where(sigma > 0, 1 / jnp.where(sigma > 0, sigma, 1), 0)
    relative_gap = t * inverse_first**2 / (1 + jnp.sqrt(left) * inverse_first)
    difference = jnp.where(
        something, (jnp.sum(change * change, 1) - relative_gap) * inverse, inverse_first
    )
    product = coordinates[:, 0] * along + jnp.sum(coordinates * change, 1)
    return _Without(coordinates, change, along, difference, inverse, downdate * product * inverse)
