"""The eigendecomposition of the rows' Gram matrix, and its error. Float64 unless stated."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.jacobi import eigh
from examine_jax.scoring.equations.piecewise_products import Products, product_error, products_with
from examine_jax.scoring.equations.rows import Rows, block_of, reduce_blocks

LEAD = 8  # eigenvectors after the first whose coordinates are computed in float64
# The number of random vectors that measure the error of a float32 Gram matrix. Together with the
# 1 + LEAD leading vectors these are 16, a multiple of the width of the SIMD registers.
_PROBES = 7
# Strips of a Gram matrix. More of them save more of the product, but are computed more slowly.
_STRIPS = 4
_FEWEST_COLUMNS_OF_STRIPS = 256
# Rows of a float32 product on a CPU. Fewer rows leave less rounding error than a whole block, by a
# quarter, and take as long, if the sums over blocks, of [D, D] each, are cheap.
_ROWS_OF_SUM = 512
_MOST_COLUMNS_OF_SUM = 1024


class Eigensystem(NamedTuple):
    """Eigenvalues and eigenvectors of the (scaled, masked, centred) rows' Gram matrix.

    Attributes:
        values: [n] k_1 >= k_2 >= ...
        vectors: [n, n] in columns; all others are orthogonal to the first.
        shift: [] bound on the spectral norm of the Gram matrix' error.
        first_error: [] bound on the Euclidean norm of the first eigenvector's error.
        lead_shift: [] bound on the spectral norm of the error outside the tail. The tail is the
            block of all eigenvectors after the first 1 + LEAD. None: the bound is `shift`.
    """

    values: Array
    vectors: Array
    shift: Array
    first_error: Array
    lead_shift: Array | None = None


def scatter(rows: Rows, dtype: DTypeLike) -> Array:
    """The sum of f f' over the rows f, [D, D] float64.

    Products within a block are computed in `dtype`, sums over blocks in float64. Only the strips
    above the diagonal are computed: the other half is their mirror image.
    """
    width = rows.features.shape[1]
    strip = -(-width // _STRIPS) if width >= _FEWEST_COLUMNS_OF_STRIPS else width
    starts = range(0, width, strip)

    def add(totals: list[Array], block: Array) -> list[Array]:
        products = (
            jnp.matmul(
                block[:, start : start + strip].T,
                block[:, start:],
                precision=lax.Precision.HIGHEST,
            )
            for start in starts
        )
        return [total + part.astype(jnp.float64) for total, part in zip(totals, products)]

    initial = [
        jnp.zeros((min(strip, width - start), width - start), jnp.float64) for start in starts
    ]
    short = dtype == jnp.float32 and width <= _MOST_COLUMNS_OF_SUM
    on_cpu = {"on_cpu": _ROWS_OF_SUM} if short else {}
    totals = reduce_blocks(rows, add, initial, dtype, **on_cpu)
    if len(totals) == 1:
        return totals[0]
    upper = jnp.concatenate(
        [jnp.pad(total, ((0, 0), (start, 0))) for start, total in zip(starts, totals)]
    )
    number = jnp.arange(width) // strip
    return jnp.where(number[:, None] <= number[None], upper, upper.T)


def decompose(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues, largest first, and eigenvectors in columns.

    Eigenvalues within rounding of 0 are set to 0.
    """
    values, vectors = eigh(matrix)
    noise = share_of_noise(matrix.shape[0]) * values[-1]
    # The square root of such a value would be far above rounding error. (The N x N Gram matrix of
    # centred rows always has one.)
    return jnp.where(values < noise, 0, values)[::-1], vectors[:, ::-1]


def share_of_noise(size: int) -> float:
    """Eigenvalues of a [size, size] matrix below this share of the largest are rounding errors."""
    return 2.0**-50 * math.sqrt(size)


def rounding(size: int, count: int) -> float:
    """A bound on the rounding error of a float64 Gram matrix and its eigendecomposition.

    The bound is on the spectral norm of the error, as a share of the matrix' Frobenius norm. It is
    about ten times the observed error.

    Args:
        size: the matrix is [size, size].
        count: the number of terms in the sum that is each entry.
    """
    return 2.0**-51 * (16.0 + math.sqrt(size) + math.sqrt(count))


def exact_eigensystem(matrix: Array, count: int) -> Eigensystem:
    """The eigensystem of a float64 Gram matrix whose entries are sums of `count` terms."""
    return with_bounds(*decompose(matrix), count)


def with_bounds(values: Array, vectors: Array, count: int) -> Eigensystem:
    """The eigensystem [n] and [n, n] of a float64 Gram matrix of sums of `count` terms."""
    shift = rounding(values.shape[0], count) * jnp.linalg.norm(values)
    return Eigensystem(values, vectors, shift, rotation_bound(shift, values))


def rotation_bound(shift: Array, values: Array) -> Array:
    """A bound on the change of the first eigenvector by an error of norm `shift`.

    The bound is 2 shift / (k_1 - k_2), and at most 2.

    Source: Davis & Kahan, SIAM J. Numer. Anal. 7:1 (1970).
    """
    separation = values[0] - values[1] if values.shape[0] > 1 else values[0]
    return jnp.where(
        separation > 4 * shift, 2 * shift / jnp.where(separation > 0, separation, 1), 2.0
    )


def refined_eigensystem(rows: Rows, matrix: Array, products: Products) -> Eigensystem:
    """The eigensystem of a Gram matrix from float32 products, refined in float64.

    One float64 pass over the rows corrects the leading eigenpairs and measures the error. Let U be
    the leading eigenvectors and W the others, and let G U be computed in float64. U'GU is
    diagonalised: its eigenvalues are h_j. One step of iterative refinement removes the coupling
    W'GU: U becomes U + W X, where entry (i, j) of X is that of W'GU divided by h_j - k_i. The
    coupling that remains is of second order. The remaining error lies within the tail, far from the
    first eigenvalue.
    """
    size = matrix.shape[0]
    count = min(1 + LEAD, size)
    values, vectors = decompose(matrix)
    lead, rest = vectors[:, :count], vectors[:, count:]
    # NumPy's generator, because JAX lowers its generators outside this trace, with 64-bit types
    # off.
    probes = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], (size, _PROBES)))
    probes = probes - jnp.matmul(lead, jnp.matmul(lead.T, probes))
    exact = _times_gram(rows, jnp.concatenate([lead, probes], 1), products)
    error = exact - jnp.matmul(matrix, jnp.concatenate([lead, probes], 1))
    floor = rounding(size, rows.total) * jnp.linalg.norm(values)
    floor += 2 * product_error(products, size) * jnp.sum(values)
    lead_error = _norm(error[:, :count])
    nearest = values[0] - values[1] if size > 1 else values[0]
    tail_error = _spectral_norm(rows, matrix, lead, error[:, count:], 1e-6 * nearest, products)
    shift = tail_error + 2 * lead_error + floor

    quotients, rotation = _descending(jnp.matmul(lead.T, exact[:, :count]))
    lead = jnp.matmul(lead, rotation)
    coupling = jnp.matmul(rest.T, jnp.matmul(exact[:, :count], rotation))
    separation = quotients - values[count:, None]
    usable = separation > 4 * shift
    change = jnp.where(usable, coupling / jnp.where(usable, separation, 1), 0)  # X
    change = jnp.where(_norm(change) < 2.0**-10, change, 0)  # the step needs a small X
    overlap = jnp.matmul(change.T, coupling)
    projected = (
        jnp.diag(quotients)
        + overlap
        + overlap.T
        + jnp.matmul(change.T, values[count:, None] * change)
    )
    inverse = jnp.eye(count) - jnp.matmul(change.T, change) / 2  # (1 + X'X)^-1/2
    quotients, rotation = _descending(jnp.matmul(inverse, jnp.matmul(projected, inverse)))
    lead = jnp.linalg.qr(
        jnp.matmul(lead + jnp.matmul(rest, change), jnp.matmul(inverse, rotation))
    )[0]
    rest = rest - jnp.matmul(lead, jnp.matmul(lead.T, rest))

    # The errors after the step, where E is the error of the Gram matrix. Between lead and tail:
    # E W X, X (W'GU)'X, and the coupling that was not corrected. Within the lead: X'EX and terms of
    # fourth order in X. Within the tail: E and, to second order, (X (W'GU)' + W'GU X') / 2.
    of_change, of_coupling = _norm(change), _norm(coupling)
    uncorrected = jnp.where(change == 0, coupling, 0)
    within = tail_error * of_change**2 + values[0] * of_change**4 + floor
    lead_shift = (tail_error + of_coupling * of_change) * of_change + _norm(uncorrected) + within
    shift = tail_error + 2 * of_coupling * of_change + lead_shift
    to_tail_gap = quotients[0] - (values[count] if size > count else 0.0)
    left = (
        (tail_error + of_coupling * of_change) * _norm(change[:, :1])
        + _norm(uncorrected[:, :1])
        + floor
    )
    to_tail = jnp.where(
        to_tail_gap > 4 * shift, 2 * left / jnp.where(to_tail_gap > 0, to_tail_gap, 1), 2.0
    )
    first_error = jnp.minimum(to_tail + rotation_bound(within, quotients), 2.0)
    return Eigensystem(
        jnp.concatenate([quotients, values[count:]]),
        jnp.concatenate([lead, rest], 1),
        shift,
        first_error,
        lead_shift,
    )


def _times_gram(rows: Rows, directions: Array, products: Products) -> Array:
    """G times the vectors [D, m], in float64. Reads the rows once."""

    def apply(total: Array, block: Array) -> Array:
        multiplied = products_with(block, products)
        return total + multiplied.transposed_times(multiplied.times(directions))

    # A centred row has more digits than float32 holds.
    exact = products == "float64" or rows.mean is not None
    dtype = jnp.float64 if exact else jnp.float32
    return reduce_blocks(rows, apply, jnp.zeros_like(directions), dtype)


def _spectral_norm(
    rows: Rows, matrix: Array, lead: Array, images: Array, enough: Array, products: Products
) -> Array:
    """An upper estimate of the spectral norm of `matrix`' error E outside the leading vectors.

    `images` is E times random vectors. For independent vectors x and y of random signs, the mean of
    (x'E^2p y)^2 is the sum of the 4p-th powers of E's eigenvalues. Its 4p-th root exceeds the
    largest eigenvalue by a factor of at most n^(1/4p). Rounding errors look random; for these the
    factor is about 3 (p = 1) or 1.6 (p = 2). p = 2 reads the rows once more. That is done only if
    the estimate with p = 1 is above `enough`.
    """
    images = images - jnp.matmul(lead, jnp.matmul(lead.T, images))

    def estimate(images: Array, order: int) -> Array:
        scale = jnp.max(jnp.abs(images))
        inner = jnp.matmul(images.T, images / jnp.where(scale > 0, scale, 1))
        pairs = jnp.sum(inner**2) - jnp.sum(jnp.diag(inner) ** 2)
        # The mean over 42 pairs may be too small by chance. The factors 1.5 and 1.25 cover a mean
        # that is 5 times too small; no such mean was observed.
        mean = jnp.sqrt(pairs / (_PROBES * (_PROBES - 1))) * scale
        return {1: 1.5, 2: 1.25}[order] * mean ** (1 / (2 * order))

    first = estimate(images, 1)

    def once_more() -> Array:
        unit = jnp.maximum(_norm(images), 1e-300)
        vectors = images / unit
        again = _times_gram(rows, vectors, products) - jnp.matmul(matrix, vectors)
        again = again - jnp.matmul(lead, jnp.matmul(lead.T, again))
        return jnp.minimum(first, estimate(again, 2) * unit**0.5)

    estimated: Array = lax.cond(first > enough, once_more, lambda: first)
    return estimated


def _norm(matrix: Array) -> Array:
    """The Frobenius norm, which is at least the spectral norm."""
    return jnp.sqrt(jnp.sum(matrix * matrix))


def _descending(matrix: Array) -> tuple[Array, Array]:
    values, vectors = eigh((matrix + matrix.T) / 2)
    return values[::-1], vectors[:, ::-1]


def gram_of_rows(rows: Rows) -> Array:
    """F F', [N, N] float64; used where there are no more rows than columns."""
    block = block_of(rows, 0, rows.features.shape[0], jnp.float64)
    return jnp.matmul(block, block.T)


def orthogonal_to_ones(rows: Rows, left: Array) -> Array:
    """Vectors [N, m] without their part along the vector of ones, if rows are centred.

    Leaving out row i of centred rows projects their Gram matrix G to the complement of the unit
    vector w_i = sqrt(N/(N-1)) (e_i - 1/N). For exact eigenvectors u_j with k_j > 0, u_j'w_i is
    sqrt(N/(N-1)) u_ij, because G has the vector of ones in its null space. An error E of G mixes
    that vector into a u_j of small k_j, by ||E|| / k_j. Without this part, u_j'w_i is exact for
    G + E, so the error of every leave-one-out eigenvalue is at most ||E||.

    Args:
        rows: [N, D].
        left: [N, m] eigenvectors of G, or other vectors of the rows.
    """
    if rows.mean is None:
        return left
    present = jnp.ones(left.shape[:1], bool) if rows.where is None else rows.where
    mean = jnp.sum(jnp.where(present[:, None], left, 0), 0) / jnp.maximum(rows.present, 1)
    return jnp.where(present[:, None], left - mean, left)
