"""The secular equation of a rank-one update, for many new rows at once.

A new row f has squared coordinates z_j^2 along the eigenvectors of G, whose eigenvalues are
k_1 >= k_2 >= ...; g_j = k_1 - k_j. The largest eigenvalue of G + f f' is k_1 + t, where t is the
largest root, in [z_1^2, |f|^2], of

    psi(t) = t (1 - S(t)) - z_1^2,    S(t) = sum_{j>1} z_j^2 / (g_j + t).

No pole lies in that interval. psi is convex, and so is psi without the term of the nearest pole,
g_2. Replacing psi without that term by its tangent leaves a quadratic equation, whose function lies
below psi. Each step solves this equation, and so descends to the root from the right.

The error bounds say how far errors of the inputs can move a root.

Source: Bunch, Nielsen & Sorensen, Numer. Math. 31:31 (1978), with the opposite sign.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.secular_equation import Roots

# If z_1 = 0 and S(0) = 1, the root is double, and each step halves the distance to it. After 60
# steps the distance is below float64's resolution.
_MOST_STEPS = 60
_EPSILON = 2.0**-52
# A root below this share of the row's squared length counts as 0. Without this limit, the iteration
# would converge to a double root at 0 until a division overflows.
_NOTHING = 1e-100


class NewCoordinates(NamedTuple):
    """Squared coordinates of B new rows along the eigenvectors, and their poles. Float64."""

    first: Array  # [B] z_1^2
    rest: Array  # [B, n] z_j^2 of the others, n >= 1
    poles: Array  # [n] g_j, ascending
    unit: Array  # [B] factor that converts the poles to the units of the row's coordinates


class NewErrors(NamedTuple):
    """Bounds on the errors of the inputs, in the units of each row. Float64."""

    norm: Array  # [B] Euclidean norm of the row itself
    row: Array  # [B] Euclidean norm of the error of the row
    first_vector: Array  # [] Euclidean norm of the error of the first eigenvector
    shift: Array  # [B] spectral norm of the error of G


def _inverse(x: Array) -> Array:
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1), 0)


def _step(t: Array, coordinates: NewCoordinates) -> Array:
    """The root of psi with all terms except the nearest pole's replaced by their tangent at t."""
    nearest = coordinates.poles[0] * coordinates.unit
    poles = coordinates.poles[None, 1:] * coordinates.unit[:, None]
    inverse = _inverse(poles + t[:, None])
    others = coordinates.rest[:, 1:]
    # In this form the only subtraction is the one from 1, so nothing else cancels.
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
    """Roots of all rows, to the relative `tolerance`, with bounds on their errors."""
    first = coordinates.first
    # The start is the root for a row whose components after the first all lie at the nearest pole.
    # It is at or to the right of the row's root.
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
    """A bound on |t - exact t|, valid for any t: the smaller of two bounds.

    - A first-order estimate from the inputs' errors and the equation's residual at t gives a
      distance d. The equation is then evaluated at t + d and t - d, each time with the errors that
      are worst there. If the signs differ, the exact root lies between, and d is a bound. The
      resolvent is monotone, so an error of G of norm eta moves S(t) to a value between S(t - eta)
      and S(t + eta).
    - An error of G of norm s moves k_1 and k_1 + t by at most s each. An error e of the row moves
      k_1 + t by at most 2 |f| |e| + |e|^2 (Weyl).
    """
    first = coordinates.first
    poles = coordinates.poles[None, :] * coordinates.unit[:, None]
    # The error of G counts three times: it moves k_1, it moves the other eigenvalues, and it
    # rotates the basis.
    eta = 3 * errors.shift
    size = coordinates.rest.shape[1]
    relative = _EPSILON * (8 + 2 * size**0.5)  # error of the sums
    z = jnp.sqrt(first)
    first_error = errors.norm * errors.first_vector + errors.row
    rest_error = z * errors.first_vector + errors.row

    def sums(t: Array) -> tuple[Array, Array]:
        """S(t), and its error due to those of the coordinates; infinite beyond the pole -g_2."""
        distance = poles + t[:, None]
        inverse = _inverse(distance)
        total = jnp.sum(coordinates.rest * inverse, 1)
        scaled = rest_error**2 * _inverse(distance[:, 0])
        off = 2 * jnp.sqrt(total * scaled) + scaled + relative * total
        return total, jnp.where(
            distance[:, 0] > 0, off, jnp.where(rest_error + coordinates.rest[:, 0] > 0, jnp.inf, 0)
        )

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
    # The equation's residual is equivalent to a relative error of this size in the coordinates.
    share = relative + left * _inverse(t * total + first)
    weyl = (
        2 * errors.shift + 2 * errors.norm * errors.row + errors.row**2 + 2 * share * errors.norm**2
    )
    return jnp.minimum(jnp.where(proved, distance, jnp.inf), weyl)
