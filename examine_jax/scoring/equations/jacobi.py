"""Symmetric eigenproblems that lower for every platform, whatever JAX's 64-bit setting.

For a TPU, JAX expands its own eigh and svd while it lowers a program. A user's jit lowers ours
after our call, with 64-bit types off again, and the expansion fails in float64. For matrices up to
256 it is XLA's Jacobi method with a tolerance of 1e-6, which float64 needs more than. So a TPU gets
a Jacobi method of our own, traced with the rest of the program. Other platforms call LAPACK or
their vendor's library.

Source: Brent & Luk, SIAM J. Sci. Stat. Comput. 6:69 (1985); Golub & Van Loan, Matrix Computations,
    section 8.5.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array

_MOST_SWEEPS = 60
# Below this share of the matrix' norm, sweeps end as soon as one no longer halves what is left.
_ROUNDING = 2.0**-44


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues [n], smallest first, and eigenvectors [n, n] in columns, of a symmetric matrix.

    float64, traced with 64-bit types on.
    """
    found: tuple[Array, Array] = lax.platform_dependent(
        matrix, tpu=jacobi_eigh, default=_library_eigh
    )
    return found


def largest_eigenvalue(matrix: Array) -> Array:
    """The largest eigenvalue [] of a symmetric matrix [n, n]."""
    found: Array = lax.platform_dependent(
        matrix,
        tpu=lambda matrix: jacobi_eigh(matrix)[0][-1],
        default=lambda matrix: jnp.linalg.eigvalsh(matrix)[-1],
    )
    return found


def largest_singular_value(matrix: Array) -> Array:
    """The largest singular value [] of a matrix [N, D]."""
    found: Array = lax.platform_dependent(
        matrix,
        tpu=jacobi_singular_value,
        default=lambda matrix: jnp.linalg.svd(matrix, compute_uv=False)[0],
    )
    return found


def _library_eigh(matrix: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


class _Sweeps(NamedTuple):
    """The state between sweeps, with n rounded up to an even number.

    Attributes:
        matrix: [n, n] the matrix in the basis of `vectors`.
        vectors: [n, n] in columns.
        left: [] the Frobenius norm outside the diagonal.
        previous: [] that before the last sweep.
        sweeps: [] int32.
    """

    matrix: Array
    vectors: Array
    left: Array
    previous: Array
    sweeps: Array


@jax.jit
def jacobi_eigh(matrix: Array) -> tuple[Array, Array]:
    """As `eigh`, by cyclic Jacobi rotations of n / 2 pairs of rows and columns at a time.

    A sweep lets every pair meet once, as in a tournament: after each round all but the first move
    on by one place.
    """
    size = matrix.shape[0]
    half = -(-size // 2)
    padded = jnp.pad((matrix + matrix.T) / 2, (0, 2 * half - size))
    norm = jnp.sqrt(jnp.sum(padded * padded))
    # Row i plays against row i + half. The moves, as a permutation of places:
    circle = [*range(1, half), *reversed(range(half, 2 * half))]
    order = np.arange(2 * half)
    order[circle] = np.roll(circle, 1)

    def rotate(rows: Array, cosine: Array, sine: Array) -> Array:
        one, other = rows[:half], rows[half:]
        return jnp.concatenate([cosine * one - sine * other, sine * one + cosine * other])

    def play(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        matrix, vectors = state  # vectors in rows
        diagonal = jnp.diagonal(matrix)
        between = jnp.diagonal(matrix, half)
        some = between != 0
        ratio = (diagonal[half:] - diagonal[:half]) / (2 * jnp.where(some, between, 1))
        side = jnp.where(ratio < 0, -1.0, 1.0)
        tangent = jnp.where(some, side / (jnp.abs(ratio) + jnp.sqrt(1 + ratio * ratio)), 0)
        cosine = 1 / jnp.sqrt(1 + tangent * tangent)
        cosine, sine = cosine[:, None], (cosine * tangent)[:, None]
        matrix = rotate(rotate(matrix, cosine, sine).T, cosine, sine)
        vectors = rotate(vectors, cosine, sine)
        return matrix[order][:, order], vectors[order]

    def outside(matrix: Array) -> Array:
        off = matrix - jnp.diag(jnp.diagonal(matrix))
        return jnp.sqrt(jnp.sum(off * off))

    def sweep(state: _Sweeps) -> _Sweeps:
        matrix, vectors = lax.fori_loop(
            0, max(2 * half - 1, 1), play, (state.matrix, state.vectors)
        )
        matrix = (matrix + matrix.T) / 2
        return _Sweeps(matrix, vectors, outside(matrix), state.left, state.sweeps + 1)

    def busy(state: _Sweeps) -> Array:
        halved = state.left < state.previous / 2
        far = state.left > _ROUNDING * norm
        return (state.sweeps < _MOST_SWEEPS) & (state.left > 0) & (far | halved)

    start = outside(padded)
    found: _Sweeps = lax.while_loop(
        busy,
        sweep,
        _Sweeps(padded, jnp.eye(2 * half), start, jnp.full_like(start, jnp.inf), jnp.int32(0)),
    )
    # The rounding of many cosines and sines changes the vectors' lengths: one Newton-Schulz step.
    vectors = found.vectors[:size, :size].T
    highest = lax.Precision.HIGHEST
    excess = jnp.matmul(vectors.T, vectors, precision=highest) - jnp.eye(size)
    vectors = vectors - jnp.matmul(vectors, excess, precision=highest) / 2
    image = jnp.matmul(padded[:size, :size], vectors, precision=highest)
    values = jnp.sum(vectors * image, 0) + 0 * norm  # NaN anywhere makes all of them NaN
    order_of_values = jnp.argsort(values)
    return values[order_of_values], vectors[:, order_of_values]


def jacobi_singular_value(matrix: Array) -> Array:
    """As `largest_singular_value`: the length of the image of the Gram matrix' top eigenvector.

    An error of that vector acts on the length to second order.
    """
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    gram = jnp.matmul(matrix.T, matrix, precision=lax.Precision.HIGHEST)
    image = jnp.matmul(matrix, jacobi_eigh(gram)[1][:, -1], precision=lax.Precision.HIGHEST)
    return jnp.sqrt(jnp.sum(image * image))
