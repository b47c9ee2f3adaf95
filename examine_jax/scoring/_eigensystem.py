"""One eigendecomposition of the rows' Gram matrix, and what is known of its error. All float64 unless said."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax._shapes import Array
from examine_jax.scoring._rows import Rows, block_of, reduce_blocks

LEAD = 8  # eigenvectors after the first whose coordinates are computed in float64
_PROBES = 8  # random vectors on which the error of a float32 Gram matrix is measured


class Eigensystem(NamedTuple):
    """Eigenvalues k_1 >= k_2 >= ... of the (scaled, masked, centred) rows' Gram matrix, and its eigenvectors."""

    values: Array  # [n]
    vectors: Array  # [n, n] in columns; the others are orthogonal to the first
    shift: Array  # [] spectral norm of the error of the Gram matrix
    first_error: Array  # [] Euclidean norm of the error of the first eigenvector


def scatter(rows: Rows, dtype: Any) -> Array:
    """Sum of f f' over the rows, [D, D] float64: products in `dtype`, sums over blocks in float64."""
    width = rows.features.shape[1]

    def add(total: Array, block: Array) -> Array:
        product = jnp.matmul(block.T, block, precision=lax.Precision.HIGHEST)
        return total + product.astype(jnp.float64)

    return reduce_blocks(rows, add, jnp.zeros((width, width), jnp.float64), dtype)


def decompose(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues, largest first, those that are rounding alone set to zero, and eigenvectors in columns."""
    values, vectors = jnp.linalg.eigh(matrix)
    noise = 2.0**-50 * matrix.shape[0] ** 0.5 * values[-1]
    # Their square roots would be far above rounding (a centred set of N < D rows always has one such eigenvalue).
    return jnp.where(values < noise, 0, values)[::-1], vectors[:, ::-1]


def rounding(size: int, count: int) -> float:
    """Relative error of a float64 Gram matrix of `size` and its eigendecomposition: some ten times what is seen."""
    return 2.0**-51 * (16 + size**0.5 + count**0.5)


def exact_eigensystem(matrix: Array, count: int) -> Eigensystem:
    """Of a Gram matrix that was computed in float64 from `count` terms an entry."""
    values, vectors = decompose(matrix)
    shift = rounding(matrix.shape[0], count) * jnp.sum(values)
    return Eigensystem(values, vectors, shift, _turned(shift, values))


def _turned(shift: Array, values: Array) -> Array:
    """How far an error of norm `shift` can turn the first eigenvector: 2 shift / (k_1 - k_2), at most 2."""
    separation = values[0] - values[1] if values.shape[0] > 1 else values[0]
    return jnp.where(separation > 4 * shift, 2 * shift / jnp.where(separation > 0, separation, 1), 2.0)


def refined_eigensystem(rows: Rows, matrix: Array) -> Eigensystem:
    """Of a Gram matrix from float32 products: one float64 pass over the rows corrects the leading pair and measures the error.

    The correction is one step of iterative refinement with the whole decomposition as its inverse, v += (k_1 - G)^+ (G - k_1) v, which
    leaves the square of what it mends. The error of G is measured on random vectors x: the mean of |E x|^2 is ||E||_F^2.
    """
    values, vectors = decompose(matrix)
    size = matrix.shape[0]
    # NumPy's: JAX's generators are lowered outside our trace, with 64-bit types off.
    probes = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], (size, _PROBES)))
    directions = jnp.concatenate([vectors[:, :1], probes], 1)

    def apply(total: Array, block: Array) -> Array:
        return total + jnp.matmul(block.T, jnp.matmul(block, directions))

    exact = reduce_blocks(rows, apply, jnp.zeros_like(directions), jnp.float64)
    error = exact - jnp.matmul(matrix, directions)
    floor = rounding(size, rows.total) * jnp.sum(values)
    shift = 2 * jnp.sqrt(jnp.mean(jnp.sum(error[:, 1:] ** 2, 0))) + jnp.linalg.norm(error[:, 0]) + floor

    first = vectors[:, 0]
    quotient = jnp.dot(first, exact[:, 0])
    residual = jnp.matmul(vectors.T, exact[:, 0] - quotient * first).at[0].set(0)
    separation = quotient - values
    usable = separation > 4 * shift
    turn = jnp.where(usable, residual / jnp.where(usable, separation, 1), 0).at[0].set(0)
    first = first + jnp.matmul(vectors, turn)
    first /= jnp.linalg.norm(first)
    values = values.at[0].set(quotient + jnp.sum(turn * residual))
    others = vectors[:, 1:]
    others = others - first[:, None] * jnp.matmul(first, others)[None, :]
    vectors = jnp.concatenate([first[:, None], others], 1)
    # What one step leaves: the error of the inverse, shift / separation, of what it mended; and float64's own rounding.
    nearest = values[0] - values[1]
    left = 2 * jnp.linalg.norm(turn) * jnp.where(nearest > 4 * shift, 2 * shift / jnp.where(nearest > 0, nearest, 1), 1)
    first_error = jnp.where(nearest > 4 * shift, left + _turned(floor, values), 2.0)
    return Eigensystem(values, vectors, shift, first_error)


def gram_of_rows(rows: Rows) -> Array:
    """F F', [N, N] float64, for fewer rows than columns."""
    block = block_of(rows, 0, rows.features.shape[0], jnp.float64)
    return jnp.matmul(block, block.T)
