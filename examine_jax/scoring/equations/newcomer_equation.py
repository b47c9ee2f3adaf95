"""The secular equation of a rank-one update, for many new rows at once, with a bound on what its inputs' errors do to the root.

A new row f has squared coordinates z_j^2 along the eigenvectors of G, whose eigenvalues are k_1 >= k_2 >= ...; g_j = k_1 - k_j. The
largest eigenvalue of G + f f' is k_1 + t with t the largest root, in [z_1^2, |f|^2], of

    psi(t) = t (1 - S(t)) - z_1^2,    S(t) = sum_{j>1} z_j^2 / (g_j + t).

There is no pole between. psi is convex, and so is what is left of it without the term of the nearest pole, g_2: that rest replaced by its
tangent leaves a quadratic below psi, so each step solves that quadratic and comes down on the root from the right.
Bunch, Nielsen & Sorensen 1978, with the opposite sign.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.secular_equation import Roots

# Where z_1 = 0 and S(0) = 1 the root is double and its distance is halved a step: 60 exhaust float64.
_MOST_STEPS = 60
_EPSILON = 2.0**-52
# Of the row's squared length: a root this small is zero. Without it the double root at 0 would be followed until a division overflows.
_NOTHING = 1e-100


class NewCoordinates(NamedTuple):
    """Squared coordinates of B new rows along the eigenvectors, and the poles they belong to. float64."""

    first: Array  # [B] z_1^2
    rest: Array  # [B, n] z_j^2 of the others, n >= 1
    poles: Array  # [n] g_j, ascending
    unit: Array  # [B] what the poles are multiplied by to be in the units of that row's coordinates


class NewErrors(NamedTuple):
    """How far the inputs may be off, in the units of each row. float64."""

    norm: Array  # [B] Euclidean norm of the row itself
    row: Array  # [B] Euclidean norm of the error of the row
    turn: Array  # [] of the error of the first eigenvector
    shift: Array  # [B] spectral norm of the error of G


def _inverse(x: Array) -> Array:
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1), 0)


def _step(t: Array, coordinates: NewCoordinates) -> Array:
    """The root of psi with all but the nearest pole's term replaced by its tangent at t."""
    nearest = coordinates.poles[0] * coordinates.unit
    poles = coordinates.poles[None, 1:] * coordinates.unit[:, None]
    inverse = _inverse(poles + t[:, None])
    others = coordinates.rest[:, 1:]
    # The tangent of x + sum z^2 x / (g + x): no difference in it but the one from 1.
    slope = jnp.maximum(1 - jnp.sum(others * inverse * (poles * inverse), 1), _EPSILON)
    constant = coordinates.first + jnp.sum(others * (t[:, None] * inverse) ** 2, 1)
    return _quadratic(slope, constant, coordinates.rest[:, 0], nearest)


def _quadratic(slope: Array, constant: Array, at_pole: Array, pole: Array) -> Array:
    """The positive root of slope x = constant + at_pole x / (pole + x)."""
    linear = slope * pole - constant - at_pole
    root = jnp.sqrt(linear**2 + 4 * slope * constant * pole)
    right = 2 * constant * pole * _inverse(linear + root)
    return jnp.where(linear > 0, right, (root - linear) / (2 * slope))


def solve(coordinates: NewCoordinates, errors: NewErrors, tolerance: float) -> Roots:
    """Roots of all rows, to the full relative accuracy that the coordinates allow."""
    first = coordinates.first
    # All of the row's rest at the nearest pole is more than it can be: a start right of the root.
    nearest = coordinates.poles[0] * coordinates.unit
    rest = jnp.sum(coordinates.rest, 1)
    start = _quadratic(jnp.ones_like(first), first, rest, nearest) * (1 + 8 * _EPSILON)
    nothing = _NOTHING * (first + rest)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        t, _, count = state
        new = jnp.where(t > nothing, jnp.clip(_step(t, coordinates), first, t), t)
        return new, t - new, count + 1

    def moving(state: tuple[Array, Array, Array]) -> Array:
        t, change, count = state
        return (count < _MOST_STEPS) & jnp.any((change > tolerance * t) & (t > nothing))

    begin = (jnp.maximum(start, first), jnp.full_like(first, jnp.inf), jnp.int32(0))
    t, change, count = lax.while_loop(moving, step, begin)
    return Roots(t, _bound(t, coordinates, errors), change, jnp.full(t.shape, count))


def _bound(t: Array, coordinates: NewCoordinates, errors: NewErrors) -> Array:
    """|t - exact t|, by whatever means t was found: the smaller of two bounds that each hold.

    - The inputs' errors and what is left of the equation at t say to first order how far the root may be, d. At t + d and t - d the
      equation is then evaluated with every error at its worst: the signs there prove that the exact root lies between.
      An error of G moves S(t) no further than from S(t - eta) to S(t + eta), for the resolvent is monotone.
    - An error of G of norm s moves k_1 and k_1 + t by at most s each, an error e of the row k_1 + t by 2 |f| |e| + |e|^2 (Weyl).
    """
    first = coordinates.first
    poles = coordinates.poles[None, :] * coordinates.unit[:, None]
    eta = 3 * errors.shift  # of the error of G: in k_1, in the other eigenvalues, and by the turn of the basis
    size = coordinates.rest.shape[1]
    relative = _EPSILON * (8 + 2 * size**0.5)  # of the sums
    z = jnp.sqrt(first)
    first_error = errors.norm * errors.turn + errors.row
    rest_error = z * errors.turn + errors.row

    def sums(t: Array) -> tuple[Array, Array]:
        """S(t), and its error where the coordinates are off; infinite left of the first pole."""
        distance = poles + t[:, None]
        inverse = _inverse(distance)
        total = jnp.sum(coordinates.rest * inverse, 1)
        scaled = rest_error**2 * _inverse(distance[:, 0])
        off = 2 * jnp.sqrt(total * scaled) + scaled + relative * total
        return total, jnp.where(distance[:, 0] > 0, off, jnp.where(rest_error + coordinates.rest[:, 0] > 0, jnp.inf, 0))

    total, off = sums(t)
    inverse = _inverse(poles + t[:, None])
    falling = jnp.sum(coordinates.rest * inverse * (t[:, None] * inverse), 1)  # -t S'(t)
    slope = jnp.maximum(1 - total + falling, _EPSILON)
    left = jnp.abs(t * (1 - total) - first)
    noise = relative * (t * (1 + total) + first)
    square = 2 * z * first_error + first_error**2
    distance = 2 * (left + noise + square + eta * falling + t * off) / slope
    above, below = t + distance, jnp.maximum(t - distance, 0)
    total_above, off_above = sums(above - eta)
    total_below, off_below = sums(below + eta)
    most, least = (z + first_error) ** 2, jnp.maximum(z - first_error, 0) ** 2
    proved = above * (1 - total_above - off_above - relative) >= most * (1 + relative)
    proved &= below * (1 - total_below + off_below + relative) <= least * (1 - relative)
    # What is left of the equation is as if the coordinates were off by this share.
    share = relative + left * _inverse(t * total + first)
    weyl = 2 * errors.shift + 2 * errors.norm * errors.row + errors.row**2 + 2 * share * errors.norm**2
    return jnp.minimum(jnp.where(proved, distance, jnp.inf), weyl)
