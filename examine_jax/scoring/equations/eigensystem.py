"""One eigendecomposition of the rows' Gram matrix, and what is known of its error. All float64 unless said."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.rows import Rows, block_of, reduce_blocks

LEAD = 8  # eigenvectors after the first whose coordinates are computed in float64
_PROBES = 7  # random vectors on which the error of a float32 Gram matrix is measured; with the leading ones 16, which suits registers


class Eigensystem(NamedTuple):
    """Eigenvalues k_1 >= k_2 >= ... of the (scaled, masked, centred) rows' Gram matrix, and its eigenvectors."""

    values: Array  # [n]
    vectors: Array  # [n, n] in columns; the others are orthogonal to the first
    shift: Array  # [] spectral norm of the error of the Gram matrix
    first_error: Array  # [] Euclidean norm of the error of the first eigenvector
    lead_shift: Array | None = (
        None  # [] the part of that error outside the tail (the block of all but the first 1 + LEAD); None: all of it
    )


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
    """Error of a float64 Gram matrix of `size` from `count` terms an entry and of its eigendecomposition, in spectral norm, as a share of
    the matrix' Frobenius norm: some ten times what is seen."""
    return 2.0**-51 * (16 + size**0.5 + count**0.5)


def exact_eigensystem(matrix: Array, count: int) -> Eigensystem:
    """Of a Gram matrix that was computed in float64 from `count` terms an entry."""
    values, vectors = decompose(matrix)
    shift = rounding(matrix.shape[0], count) * jnp.linalg.norm(values)
    return Eigensystem(values, vectors, shift, _turned(shift, values))


def _turned(shift: Array, values: Array) -> Array:
    """How far an error of norm `shift` can turn the first eigenvector: 2 shift / (k_1 - k_2), at most 2."""
    separation = values[0] - values[1] if values.shape[0] > 1 else values[0]
    return jnp.where(separation > 4 * shift, 2 * shift / jnp.where(separation > 0, separation, 1), 2.0)


def refined_eigensystem(rows: Rows, matrix: Array) -> Eigensystem:
    """Of a Gram matrix from float32 products: one float64 pass over the rows corrects the leading pairs and measures the error.

    The leading vectors U and the others W, G U in float64: within U the exact U'GU is diagonalised; their coupling W'GU is removed by one
    step of iterative refinement with the whole decomposition as its inverse, X = (h_j - k_i)^-1 W'GU, U + W X, which leaves the square
    of what it mends. What is left of the error lies within the tail, far from the first eigenvalue.
    """
    size = matrix.shape[0]
    count = min(1 + LEAD, size)
    values, vectors = decompose(matrix)
    lead, rest = vectors[:, :count], vectors[:, count:]
    # NumPy's: JAX's generators are lowered outside our trace, with 64-bit types off.
    probes = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], (size, _PROBES)))
    probes = probes - jnp.matmul(lead, jnp.matmul(lead.T, probes))
    exact = _times_gram(rows, jnp.concatenate([lead, probes], 1))
    error = exact - jnp.matmul(matrix, jnp.concatenate([lead, probes], 1))
    floor = rounding(size, rows.total) * jnp.linalg.norm(values)
    lead_error = _norm(error[:, :count])
    nearest = values[0] - values[1] if size > 1 else values[0]
    tail_error = _spectral_norm(rows, matrix, lead, error[:, count:], 1e-6 * nearest)
    shift = tail_error + 2 * lead_error + floor

    quotients, rotation = _descending(jnp.matmul(lead.T, exact[:, :count]))
    lead = jnp.matmul(lead, rotation)
    coupling = jnp.matmul(rest.T, jnp.matmul(exact[:, :count], rotation))
    separation = quotients - values[count:, None]
    usable = separation > 4 * shift
    turn = jnp.where(usable, coupling / jnp.where(usable, separation, 1), 0)
    turn = jnp.where(_norm(turn) < 2.0**-10, turn, 0)  # to second order is only good for small ones
    overlap = jnp.matmul(turn.T, coupling)
    turned = jnp.diag(quotients) + overlap + overlap.T + jnp.matmul(turn.T, values[count:, None] * turn)
    inverse = jnp.eye(count) - jnp.matmul(turn.T, turn) / 2  # (1 + X'X)^-1/2
    quotients, rotation = _descending(jnp.matmul(inverse, jnp.matmul(turned, inverse)))
    lead = jnp.linalg.qr(jnp.matmul(lead + jnp.matmul(rest, turn), jnp.matmul(inverse, rotation)))[0]
    rest = rest - jnp.matmul(lead, jnp.matmul(lead.T, rest))

    # What couples the turned vectors: E W X, X (W'GU)'X, and what was not mended. Within them: X'EX and the fourth order of X. Within the
    # tail: E and, to second order, (X (W'GU)' + W'GU X') / 2.
    size_of_turn, of_coupling = _norm(turn), _norm(coupling)
    unmended = jnp.where(turn == 0, coupling, 0)
    within = tail_error * size_of_turn**2 + values[0] * size_of_turn**4 + floor
    lead_shift = (tail_error + of_coupling * size_of_turn) * size_of_turn + _norm(unmended) + within
    shift = tail_error + 2 * of_coupling * size_of_turn + lead_shift
    apart = quotients[0] - (values[count] if size > count else 0.0)
    left = (tail_error + of_coupling * size_of_turn) * _norm(turn[:, :1]) + _norm(unmended[:, :1]) + floor
    to_tail = jnp.where(apart > 4 * shift, 2 * left / jnp.where(apart > 0, apart, 1), 2.0)
    first_error = jnp.minimum(to_tail + _turned(within, quotients), 2.0)
    return Eigensystem(
        jnp.concatenate([quotients, values[count:]]), jnp.concatenate([lead, rest], 1), shift, first_error, lead_shift
    )


def _times_gram(rows: Rows, directions: Array) -> Array:
    """G times some vectors [D, m], in float64, in one reading of the rows."""

    def apply(total: Array, block: Array) -> Array:
        return total + jnp.matmul(block.T, jnp.matmul(block, directions))

    return reduce_blocks(rows, apply, jnp.zeros_like(directions), jnp.float64)


def _spectral_norm(rows: Rows, matrix: Array, lead: Array, images: Array, enough: Array) -> Array:
    """Of the error E of `matrix` outside the leading vectors, from E times random vectors: an estimate from above.

    For independent random signs x and y the mean of (x'E^2p y)^2 is the sum of the 4p-th powers of E's eigenvalues, whose root exceeds the
    largest by at most n^(1/4p), for rounding errors (which look random) by a factor of 3 (p = 1) or 1.6 (p = 2, one more reading of the
    rows: made where the first is not below `enough`).
    """
    images = images - jnp.matmul(lead, jnp.matmul(lead.T, images))

    def estimate(images: Array, order: int) -> Array:
        scale = jnp.max(jnp.abs(images))
        inner = jnp.matmul(images.T, images / jnp.where(scale > 0, scale, 1))
        pairs = jnp.sum(inner**2) - jnp.sum(jnp.diag(inner) ** 2)
        # 1.5 and 1.25: that a mean over 42 pairs falls short by a factor of 5 has not been seen.
        mean = jnp.sqrt(pairs / (_PROBES * (_PROBES - 1))) * scale
        return {1: 1.5, 2: 1.25}[order] * mean ** (1 / (2 * order))

    first = estimate(images, 1)

    def once_more() -> Array:
        unit = jnp.maximum(_norm(images), 1e-300)
        vectors = images / unit
        again = _times_gram(rows, vectors) - jnp.matmul(matrix, vectors)
        again = again - jnp.matmul(lead, jnp.matmul(lead.T, again))
        return jnp.minimum(first, estimate(again, 2) * unit**0.5)

    return lax.cond(first > enough, once_more, lambda: first)


def _norm(matrix: Array) -> Array:
    """Frobenius, which is at least the spectral norm."""
    return jnp.sqrt(jnp.sum(matrix * matrix))


def _descending(matrix: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2)
    return values[::-1], vectors[:, ::-1]


def gram_of_rows(rows: Rows) -> Array:
    """F F', [N, N] float64, for fewer rows than columns."""
    block = block_of(rows, 0, rows.features.shape[0], jnp.float64)
    return jnp.matmul(block, block.T)
