"""Sums and products of pairs of float64 numbers: about 106 bits, to add up without a drift.

A number is the unrounded sum of two float64 numbers, of which the second is the rounding error of
the first. Everything here stays right if a compiler fuses a product and a sum into one operation:
products are taken of halves, so that they are exact.

Source: Dekker, A floating-point technique for extending the available precision, Numer. Math.
    18:224 (1971); Joldes, Muller & Popescu, Tight and rigorous error bounds for basic building
    blocks of double-word arithmetic, ACM Trans. Math. Softw. 44:15 (2017).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array

# The relative error of any one operation below is at most a few 2^-106.
ROUNDING = 2.0**-102
_LOWER_HALF = (1 << 27) - 1  # of a float64's bits


class Pair(NamedTuple):
    """The sum of two float64 arrays of one shape; `low` is the rounding error of `high`."""

    high: Array
    low: Array


def exact(values: Array) -> Pair:
    """Float64 values as pairs."""
    return Pair(values, jnp.zeros_like(values))


def sum_of(one: Array, other: Array) -> Pair:
    """The exact sum of two float64 arrays."""
    total = one + other
    of_other = total - one
    return Pair(total, (one - (total - of_other)) + (other - of_other))


def _sum_of_larger(larger: Array, smaller: Array) -> Pair:
    total = larger + smaller
    return Pair(total, smaller - (total - larger))


def _halves(values: Array) -> tuple[Array, Array]:
    """Two numbers of at most 27 bits, the sum of which is the value."""
    bits = lax.bitcast_convert_type(values, jnp.int64)
    upper = lax.bitcast_convert_type(bits & ~_LOWER_HALF, jnp.float64)
    return upper, values - upper


def product_of(one: Array, other: Array) -> Pair:
    """The product of two float64 arrays."""
    (upper, lower), (other_upper, other_lower) = _halves(one), _halves(other)
    middle = sum_of(upper * other_lower, lower * other_upper)
    total = sum_of(upper * other_upper, middle.high)
    return _sum_of_larger(total.high, total.low + (middle.low + lower * other_lower))


def add(one: Pair, other: Pair) -> Pair:
    """The sum of two pairs. Exchanging them gives bitwise the same."""
    high = sum_of(one.high, other.high)
    low = sum_of(one.low, other.low)
    together = _sum_of_larger(high.high, high.low + low.high)
    return _sum_of_larger(together.high, together.low + low.low)


def negative(pair: Pair) -> Pair:
    """The pair times -1."""
    return Pair(-pair.high, -pair.low)


def multiply(one: Pair, other: Pair) -> Pair:
    """The product of two pairs."""
    high = product_of(one.high, other.high)
    cross = one.high * other.low + one.low * other.high
    return _sum_of_larger(high.high, high.low + cross)


def divide(pair: Pair, divisor: Array) -> Pair:
    """The pair divided by a float64 array."""
    quotient = pair.high / divisor
    left = add(pair, negative(product_of(quotient, divisor)))
    return _sum_of_larger(quotient, (left.high + left.low) / divisor)
