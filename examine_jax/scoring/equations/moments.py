"""The mean and scatter of rows, added up and taken away to about 106 bits, with error bounds."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.double_double import (
    ROUNDING,
    Pair,
    add,
    divide,
    exact,
    multiply,
    negative,
    product_of,
    sum_of,
)
from examine_jax.scoring.equations.rows import Rows, block_of, reduce_blocks

# The rounding error of one of the functions below, relative to the sums in it. It is about ten
# times what its few operations may add up to.
_NOISE = 8 * ROUNDING


class Moments(NamedTuple):
    """The count, mean and centred scatter of rows, as pairs of float64 numbers.

    Attributes:
        count: [] the number of rows.
        mean: [D] their mean.
        scatter: [D, D] sum of (f - mean)(f - mean)'.
        mean_error: [] the error of the mean is at most this (Euclidean norm).
        scatter_error: [] the error of the scatter is at most this (spectral norm).
    """

    count: Array  # type: ignore[assignment]
    mean: Pair
    scatter: Pair
    mean_error: Array
    scatter_error: Array


def length(values: Array) -> Array:
    """The Euclidean (Frobenius) norm."""
    return jnp.sqrt(jnp.sum(values**2))


def of_few_rows(rows: Rows) -> Moments:
    """The moments of a few rows, which are added one by one."""
    number, width = rows.features.shape
    values = block_of(rows, 0, number, jnp.float64)
    present = jnp.ones(number, bool) if rows.where is None else rows.where
    zero = jnp.zeros((), jnp.float64)
    nothing = exact(jnp.zeros((width, width), jnp.float64))

    def of_row(row: Array, present: Array) -> Moments:
        return Moments(present.astype(jnp.float64), exact(row), nothing, zero, zero)

    def step(total: Moments, row: tuple[Array, Array]) -> tuple[Moments, None]:
        return together(total, of_row(*row)), None

    first = of_row(values[0], present[0])
    return lax.scan(step, first, (values[1:], present[1:]))[0] if number > 1 else first


def mean_of(rows: Rows) -> tuple[Pair, Array]:
    """The mean of rows that are not centred, and a bound on its error (Euclidean norm).

    Each entry is cut in two. The upper parts are multiples of one small number, so that their sum
    is exact. The lower parts are so small that their sum's rounding does not matter.

    Source: Rump, Ogita & Oishi, Accurate floating-point summation I, SIAM J. Sci. Comput. 31:189
        (2008).
    """
    count, width = rows.features.shape
    # Scaled entries are below 2, and below 2^26 where the scale is at its limit.
    largest = jnp.where(rows.scale <= 2.0**-126, 2.0**26, 2.0)
    cut = 2.0 ** (1 + math.ceil(math.log2(rows.total))) * largest

    def step(total: Pair, block: Array) -> Pair:
        upper = (cut + block) - cut
        return Pair(total.high + jnp.sum(upper, 0), total.low + jnp.sum(block - upper, 0))

    total = reduce_blocks(rows, step, exact(jnp.zeros(width, jnp.float64)), jnp.float64)
    mean = divide(sum_of(total.high, total.low), jnp.maximum(rows.present, 1))
    of_lower = math.sqrt(width) * count * 2.0**-106 * cut
    return mean, of_lower + _NOISE * length(mean.high)


def together(one: Moments, other: Moments) -> Moments:
    """The moments of both. Exchanging the two gives bitwise the same."""
    count = one.count + other.count
    divisor = jnp.maximum(count, 1)
    between, between_error = _between(one, other, divisor)
    matrix = add(add(one.scatter, other.scatter), between)
    share, other_share = one.count / divisor, other.count / divisor
    lengths = share * length(one.mean.high) + other_share * length(other.mean.high)
    mean_error = one.mean_error * share + other.mean_error * other_share
    return Moments(
        count,
        divide(add(_times(one.count, one.mean), _times(other.count, other.mean)), divisor),
        matrix,
        mean_error + _NOISE * lengths,
        one.scatter_error + other.scatter_error + between_error + _NOISE * jnp.trace(matrix.high),
    )


def without(whole: Moments, part: Moments) -> Moments:
    """The moments of the rows of `whole` that are not in `part`."""
    count = whole.count - part.count
    divisor = jnp.maximum(count, 1)
    between, between_error = _between(whole, part, divisor)
    mean = divide(
        add(_times(whole.count, whole.mean), negative(_times(part.count, part.mean))), divisor
    )
    matrix = add(add(whole.scatter, negative(part.scatter)), negative(between))
    share, part_share = whole.count / divisor, part.count / divisor
    lengths = share * length(whole.mean.high) + part_share * length(part.mean.high)
    mean_error = whole.mean_error * share + part.mean_error * part_share + _NOISE * lengths
    traces = sum(jnp.trace(x.high) for x in (whole.scatter, part.scatter, between))
    scatter_error = whole.scatter_error + part.scatter_error + between_error + _NOISE * traces
    # The scatter of one row is 0, and so is the mean of no rows.
    some, several = count > 0, count > 1
    return Moments(
        count,
        Pair(*(jnp.where(some, half, 0) for half in mean)),
        Pair(*(jnp.where(several, half, 0) for half in matrix)),
        jnp.where(some, mean_error, 0),
        jnp.where(several, scatter_error, 0),
    )


def gram(moments: Moments) -> tuple[Pair, Array]:
    """The sum of f f' over rows that are not centred, and a bound on its error."""
    matrix = add(moments.scatter, _times(moments.count, _square(moments.mean)))
    distance = length(moments.mean.high)
    mean_part = moments.count * (2 * distance + moments.mean_error) * moments.mean_error
    return matrix, moments.scatter_error + mean_part + _NOISE * jnp.trace(matrix.high)


def _between(one: Moments, other: Moments, divisor: Array) -> tuple[Pair, Array]:
    """N M / divisor (m - n)(m - n)' for counts N, M and means m, n; and a bound on its error."""
    weight = divide(product_of(one.count, other.count), divisor)
    apart = add(other.mean, negative(one.mean))
    distance = length(apart.high)
    apart_error = one.mean_error + other.mean_error + ROUNDING * distance
    error = weight.high * (2 * distance + apart_error) * apart_error
    return multiply(_square(apart), weight), error


def _times(factor: Array, pair: Pair) -> Pair:
    return multiply(exact(factor), pair)


def _square(vector: Pair) -> Pair:
    """v v' of a vector v [D]."""
    column, row = (Pair(vector.high[at], vector.low[at]) for at in ((..., None), (None, ...)))
    return multiply(column, row)
