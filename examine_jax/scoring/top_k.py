"""More than the largest singular value: the k largest without each row, their sum, the nuclear norm."""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.eigensystem import decompose, gram_of_rows, scatter
from examine_jax.scoring.equations.float64 import with_float64
from examine_jax.scoring.equations.inputs import check_inputs, non_finite_rows
from examine_jax.scoring.equations.interlaced_roots import eigenvalue_drops
from examine_jax.scoring.equations.rows import Rows, map_blocks, prepare, rows_dtype


class KyFanExamination(NamedTuple):
    """How much the sum of the k largest singular values falls when a row is left out."""

    gap: Array  # [N] norm - norm without row i, each singular value's fall with its own relative accuracy
    norm: Array  # [] the Ky Fan k-norm: the sum of the k largest singular values of all rows
    loo_norms: Array  # [N] of what is left without row i


def leave_one_out_singular_values(features: Any, k: int, *, center: bool = False, where: Any = None) -> Array:
    """The k largest singular values of what is left without each row, largest first, [N, k].

    From one eigendecomposition: without a row, the j-th eigenvalue of the Gram matrix lies between its j-th and the next (interlacing),
    where it solves the secular equation. Works inside jit and vmap. O(N D min(N, D)) and O(N k min(N, D)) more; products in float64.

    The j-th value is right to some float64 roundings of sigma_1^2 / sigma_j: to float32 where sigma_j is over 1e-7 sigma_1; what is
    smaller may come out as 0.

    Args:
        features: [N, D] floating, N >= 2; as for `examine`.
        k: from 1 to min(N, D).
        center: of the rows less their mean, which is that of the other rows when a row is left out.
        where: [N] bool, rows that are there. Leaving out one that is not leaves everything.

    Returns:
        [N, k] in float64 for float64 features, else in float32.

    Raises:
        ValueError: as `examine`; k out of its range.

    Source: Golub, SIAM Review 15:318 (1973); Gu & Eisenstat, SIAM J. Matrix Anal. Appl. 15:1266 (1994).
    """
    return _run(_values_examiner, features, k, center, where)


def examine_ky_fan(features: Any, k: int | None = None, *, center: bool = False, where: Any = None) -> KyFanExamination:
    """How much the sum of the k largest singular values falls when a row is left out: `examine` is k = 1.

    None takes all min(N, D) of them: the nuclear norm. Arguments, accuracy and errors are those of `leave_one_out_singular_values`; the
    gap is a sum of falls, and loses nothing to the difference of two norms.

    Source: Fan, Proc. Natl. Acad. Sci. 37:760 (1951).
    """
    return _run(_norm_examiner, features, k, center, where)


def _run(examiner: Callable[..., Any], features: Any, k: int | None, center: bool, where: Any) -> Any:
    traced = isinstance(features, jax.core.Tracer) or isinstance(where, jax.core.Tracer)
    features, where = check_inputs(features, where)
    size = min(features.shape)
    k = size if k is None else operator.index(k)
    if not 1 <= k <= size:
        raise ValueError(f"k must be from 1 to min(N, D) = {size} for features of shape {features.shape}; got {k}")
    compute = examiner(k, bool(center), where is not None)
    with jax.enable_x64(True):
        result = compute(features) if where is None else compute(features, where)
    if not traced and bool(jnp.isnan(jax.tree.leaves(result)[0]).any()):
        raise ValueError(non_finite_rows(features, where))
    return result


@functools.cache
def _values_examiner(k: int, center: bool, masked: bool) -> Callable[..., Array]:
    return _examiner(lambda rows: _singular_values(rows, k), center, masked)


@functools.cache
def _norm_examiner(k: int, center: bool, masked: bool) -> Callable[..., KyFanExamination]:
    return _examiner(lambda rows: _norms(rows, k), center, masked)


def _examiner(solve: Callable[[Rows], Any], center: bool, masked: bool) -> Callable[..., Any]:
    if masked:
        return with_float64(lambda features, where: solve(prepare(features, where, center)))
    return with_float64(lambda features: solve(prepare(features, None, center)))


def _singular_values(rows: Rows, k: int) -> Array:
    def of_block(squares: Array, values: Array, rank: Array) -> Array:
        def one(index: Array) -> Array:
            return _left(values, index, eigenvalue_drops(squares, values, index), rank)

        return lax.map(one, jnp.arange(k)).T

    found, _ = _map_coordinates(rows, of_block)
    return _in_units(rows, found)


def _norms(rows: Rows, k: int) -> KyFanExamination:
    def of_block(squares: Array, values: Array, rank: Array) -> Array:
        def add(total: Array, index: Array) -> tuple[Array, None]:
            drop = eigenvalue_drops(squares, values, index)
            sigma = jnp.sqrt(values[index])
            without = _left(values, index, drop, rank)
            # Where nothing is left, the fall is the value itself.
            exact = jnp.where(without > 0, drop / jnp.where(sigma > 0, sigma + without, 1), sigma)
            return total + exact, None

        return lax.scan(add, jnp.zeros(squares.shape[0]), jnp.arange(k))[0]

    gap, values = _map_coordinates(rows, of_block)
    norm = jnp.sum(jnp.sqrt(values[:k]))
    return KyFanExamination(*(_in_units(rows, x) for x in (gap, norm, jnp.maximum(norm - gap, 0))))


def _left(values: Array, index: Array, fall: Array, rank: Array) -> Array:
    """sqrt(k_j - t); 0 where no value can be left, or rounding alone is."""
    left = values[index] - fall
    noise = 2.0**-50 * values.shape[0] ** 0.5 * values[0]
    return jnp.where((index < rank) & (left > noise), jnp.sqrt(jnp.maximum(left, 0)), 0)


def _in_units(rows: Rows, scaled: Array) -> Array:
    return (scaled / rows.scale).astype(rows_dtype(rows))


def _map_coordinates(rows: Rows, function: Callable[[Array, Array, Array], Array]) -> tuple[Array, Array]:
    """`function(squares [B, n], values [n], rank [B]) -> [B, ...]` of all rows, [N, ...], and the eigenvalues [n].

    squares: of the coordinates along the eigenvectors, as the downdate takes them; rank: how many values can be left without the row.
    """
    count, width = rows.features.shape

    def of_block(coordinates: Array) -> Array:
        squares = coordinates**2 * rows.downdate
        # A row of zeros, as an absent one is, leaves everything.
        rank = jnp.where(jnp.any(squares > 0, 1), rows.present - 1 - (rows.mean is not None), squares.shape[1])
        return function(squares, values, rank)

    if count <= width:
        values, left = decompose(gram_of_rows(rows))
        coordinates = Rows(left * jnp.sqrt(values), None, jnp.float64(1), None, rows.present)
        return map_blocks(coordinates, of_block, jnp.float64), values
    values, vectors = decompose(scatter(rows, jnp.float64))
    return map_blocks(rows, lambda block: of_block(jnp.matmul(block, vectors)), jnp.float64), values
