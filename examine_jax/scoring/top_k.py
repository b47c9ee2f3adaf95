"""The k largest singular values without each row, and their sum, the Ky Fan norm."""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.blas_threads import call_for
from examine_jax.scoring.equations.eigensystem import (
    decompose,
    gram_of_rows,
    orthogonal_to_ones,
    scatter,
)
from examine_jax.scoring.equations.float64 import (
    float64_types,
    reduce_keeping_dtypes,
    with_float64,
)
from examine_jax.scoring.equations.inputs import check_inputs, non_finite_rows
from examine_jax.scoring.equations.interlaced_roots import eigenvalue_drops
from examine_jax.scoring.equations.rows import Rows, map_blocks, prepare, rows_dtype
from examine_jax.scoring.padding import is_traced, pad

Results = TypeVar("Results")


class KyFanExamination(NamedTuple):
    """How much the sum of the k largest singular values falls when a row is left out.

    Attributes:
        gap: [N] norm - (norm without row i): the sum of the singular values' drops, each of which
            has full relative accuracy.
        norm: [] the Ky Fan k-norm of all rows: the sum of their k largest singular values.
        loo_norms: [N] the norm without row i.
    """

    gap: Array
    norm: Array
    loo_norms: Array

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies keep float64, whatever JAX's own 64-bit setting."""
        return reduce_keeping_dtypes(self)


def leave_one_out_singular_values(
    features: ArrayLike, k: int, *, center: bool = False, where: ArrayLike | None = None
) -> Array:
    """The k largest singular values without each row.

    One eigendecomposition gives all of them. With all rows, let k_1 >= k_2 >= ... be the
    eigenvalues of the Gram matrix. Without a row, the j-th eigenvalue lies between k_{j+1} and k_j
    (interlacing), and is a root of the secular equation there. Works inside jit and vmap. Time:
    O(N D min(N, D)) for the products, in float64, and O(N k min(N, D)) for the roots.

    The error of the j-th value is a few float64 roundings of sigma_1^2 / sigma_j. So it is accurate
    to float32 where sigma_j > 1e-7 sigma_1; a smaller singular value may be returned as 0.

    Args:
        features: [N, D] floating, N >= 2; as for `examine`.
        k: from 1 to min(N, D).
        center: subtract the rows' mean. When a row is left out, the mean is that of the other rows.
        where: [N] bool, True for rows that are present. Leaving out an absent row changes nothing.

    Returns:
        [N, k], largest first, in float64 for float64 features, else in float32.

    Raises:
        ValueError: as for `examine`; k is out of its range.

    Source: Golub, SIAM Review 15:318 (1973); Gu & Eisenstat, SIAM J. Matrix Anal. Appl. 15:1266
        (1994).
    """
    return _run(_values_examiner, features, k, center, where)


def examine_ky_fan(
    features: ArrayLike,
    k: int | None = None,
    *,
    center: bool = False,
    where: ArrayLike | None = None,
) -> KyFanExamination:
    """How much the sum of the k largest singular values falls when a row is left out.

    For k = 1 this is `examine`. The gap is computed as the sum of the singular values' drops, not
    as a difference of two norms, which would lose accuracy.

    Args:
        features: [N, D] floating, N >= 2; as for `examine`.
        k: from 1 to min(N, D). None: min(N, D), the nuclear norm.
        center, where: as for `leave_one_out_singular_values`. The accuracy is the same too.

    Returns:
        `KyFanExamination`, in float64 for float64 features, else in float32.

    Raises:
        ValueError: as for `examine`; k is out of its range.

    Source: Fan, Proc. Natl. Acad. Sci. 37:760 (1951).
    """
    return _run(_norm_examiner, features, k, center, where)


def _run(
    examiner: Callable[[int, bool, bool], Callable[..., Results]],
    features: ArrayLike,
    k: int | None,
    center: bool,
    where: ArrayLike | None,
) -> Results:
    matrix, mask = check_inputs(features, where)
    size = min(matrix.shape)
    k = size if k is None else operator.index(k)
    if not 1 <= k <= size:
        raise ValueError(
            f"k must be from 1 to min(N, D) = {size} for features of shape {matrix.shape}; got {k}"
        )
    padded = pad(matrix, mask, (matrix.shape[1],))
    compute = examiner(k, bool(center), padded.where is not None)
    masks = () if padded.where is None else (padded.where,)
    with float64_types():
        result = call_for(size, compute, padded.rows, *masks)
    if not is_traced(result) and bool(np.isnan(jax.tree.leaves(result)[0]).any()):
        raise ValueError(non_finite_rows(matrix, mask))
    return padded.trim(result)


@functools.cache
def _values_examiner(k: int, center: bool, masked: bool) -> Callable[..., Array]:
    return _examiner(lambda rows: _singular_values(rows, k), center, masked)


@functools.cache
def _norm_examiner(k: int, center: bool, masked: bool) -> Callable[..., KyFanExamination]:
    return _examiner(lambda rows: _norms(rows, k), center, masked)


def _examiner(
    solve: Callable[[Rows], Results], center: bool, masked: bool
) -> Callable[..., Results]:
    if masked:
        return with_float64(lambda features, where: solve(prepare(features, where, center)))
    return with_float64(lambda features: solve(prepare(features, None, center)))


def _singular_values(rows: Rows, k: int) -> Array:
    def of_block(squares: Array, values: Array, rank: Array) -> Array:
        def one(index: Array) -> Array:
            return _left(values, index, eigenvalue_drops(squares, values, index), rank)

        largest: Array = lax.map(one, jnp.arange(k))
        return largest.T

    found, _ = _map_coordinates(rows, of_block)
    return _in_units(rows, found)


def _norms(rows: Rows, k: int) -> KyFanExamination:
    def of_block(squares: Array, values: Array, rank: Array) -> Array:
        def add(total: Array, index: Array) -> tuple[Array, None]:
            drop = eigenvalue_drops(squares, values, index)
            sigma = jnp.sqrt(values[index])
            without = _left(values, index, drop, rank)
            # If the remaining singular value is 0, the drop is the singular value itself.
            exact = jnp.where(without > 0, drop / jnp.where(sigma > 0, sigma + without, 1), sigma)
            return total + exact, None

        total: Array = lax.scan(add, jnp.zeros(squares.shape[0]), jnp.arange(k))[0]
        return total

    gap, values = _map_coordinates(rows, of_block)
    norm = jnp.sum(jnp.sqrt(values[:k]))
    return KyFanExamination(*(_in_units(rows, x) for x in (gap, norm, jnp.maximum(norm - gap, 0))))


def _left(values: Array, index: Array, drop: Array, rank: Array) -> Array:
    """sqrt(k_j - t); 0 if index >= rank, or if k_j - t is only rounding error."""
    left = values[index] - drop
    noise = 2.0**-50 * values.shape[0] ** 0.5 * values[0]
    return jnp.where((index < rank) & (left > noise), jnp.sqrt(jnp.maximum(left, 0)), 0)


def _in_units(rows: Rows, scaled: Array) -> Array:
    return (scaled / rows.scale).astype(rows_dtype(rows))


def _map_coordinates(
    rows: Rows, function: Callable[[Array, Array, Array], Array]
) -> tuple[Array, Array]:
    """Applies `function(squares [B, n], values [n], rank [B]) -> [B, ...]` to all rows.

    `squares` holds the squared coordinates of each row along the eigenvectors, times the downdate's
    factor. `rank` is the largest number of nonzero singular values that remain without the row.

    Returns:
        The function's results [N, ...], and the eigenvalues [n].
    """
    count, width = rows.features.shape

    def of_block(coordinates: Array) -> Array:
        squares = coordinates**2 * rows.downdate
        # Leaving out a row of zeros, such as an absent one, changes nothing.
        rank = jnp.where(
            jnp.any(squares > 0, 1), rows.present - 1 - (rows.mean is not None), squares.shape[1]
        )
        return function(squares, values, rank)

    if count <= width:
        values, left = decompose(gram_of_rows(rows))
        left = orthogonal_to_ones(rows, left)
        coordinates = Rows(left * jnp.sqrt(values), None, jnp.float64(1), None, rows.present)
        return map_blocks(coordinates, of_block, jnp.float64), values
    values, vectors = decompose(scatter(rows, jnp.float64))
    return map_blocks(rows, lambda block: of_block(jnp.matmul(block, vectors)), jnp.float64), values
