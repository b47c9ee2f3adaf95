"""The secular equation of a rank-one downdate, for many rows at once, with a bound on what its inputs' errors do to the root.

Row f has squared coordinates z_j^2 along the eigenvectors of G, whose eigenvalues are k_1 >= k_2 >= ...; g_j = k_1 - k_j. The largest
eigenvalue of G - f f' is k_1 - t with t the root in [0, g_2] of

    phi(t) = t (1 + sum_{j>1} z_j^2 / (g_j - t)) - z_1^2.

phi is convex and increasing. Writing t * (everything but the nearest pole) as its tangent leaves a quadratic that lies below
phi, so each step solves that quadratic and comes down on the root from the right, with the nearest pole exact.
Golub 1973; Bunch, Nielsen & Sorensen 1978; Li, LAPACK Working Note 93.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax._shapes import Array

TAIL_TERMS = 6  # moments of the tail: their remainder falls with (t / g)^6
_MOST_STEPS = 60  # a doubling of the distance from a pole a step at worst: 60 exhaust float64


class Coordinates(NamedTuple):
    """Squared coordinates of B rows along the eigenvectors, and the poles they belong to. float64 but for `tail`."""

    first: Array  # [B] z_1^2
    lead: Array  # [m, B] z_j^2 of the m eigenvectors after the first
    lead_poles: Array  # [m] g_j, ascending, the first is g_2
    tail: Array  # [B, T] z_j^2 of the rest, in the dtype of the matrix products
    tail_poles: Array  # [T] g_j, ascending


class Errors(NamedTuple):
    """How far the inputs may be off. float64."""

    first: Array  # [B] of |z_1|
    shift: Array  # [] spectral norm of the error of G outside the first eigenvector
    rest: Array  # [B] Euclidean norm of the errors of (z_2, z_3, ...)
    norm: Array  # [B] Euclidean norm of the rows themselves
    relative: float | Array  # of the sums over the tail


class Roots(NamedTuple):
    """The roots and what is known of them. float64."""

    t: Array  # [B]
    bound: Array  # [B] |t - exact t| is at most this
    residual: Array  # [B] |phi(t)| / phi'(t), at the last step
    steps: Array  # [B] int32: of the slowest row of the block


def _step(t: Array, first: Array, pole: Array, at_pole: Array, rest: Array, slope: Array) -> Array:
    """Root of (1 + slope) s + s * at_pole / (pole - s) = first - rest + slope t, the smaller one."""
    right = first - rest + slope * t
    one = 1 + slope
    linear = one * pole + at_pole + right
    # linear^2 - 4 one right pole, as a sum of squares: the difference cancels where the root meets the pole.
    discriminant = (one * pole - right) ** 2 + at_pole * (2 * (one * pole + right) + at_pole)
    denominator = linear + jnp.sqrt(discriminant)
    return jnp.where(denominator > 0, 2 * right * pole / jnp.where(denominator > 0, denominator, 1), 0)


def _pole_sums(
    squares: Array, poles: Array, t: Array, pole: Array, tie: Array, axis: int
) -> tuple[Array, Array, Array]:
    """(sum of squares at the nearest pole, t * sum of the others' z^2/(g-t), and the derivative of that product)."""
    poles = poles[:, None] if axis == 0 else poles[None, :]
    t = t[None, :] if axis == 0 else t[:, None]
    tied = poles - pole <= tie
    at_pole = jnp.sum(jnp.where(tied, squares, 0), axis)
    inverse = 1 / jnp.where(tied, 1, poles - t)
    terms = jnp.where(tied, 0, squares * inverse)
    return at_pole, jnp.sum(terms * t, axis), jnp.sum(terms * poles * inverse, axis)


def _tail_moments(coordinates: Coordinates) -> tuple[Array, Array]:
    """sum_j z_j^2 (g / g_j)^p, p = 1..TAIL_TERMS, [TAIL_TERMS, B], with g the smallest pole of the tail; and g."""
    nearest = coordinates.tail_poles[0]
    safe = jnp.where(nearest > 0, nearest, 1)
    ratio = safe / jnp.maximum(coordinates.tail_poles, safe)
    weights = ratio[:, None] ** jnp.arange(1, TAIL_TERMS + 1)
    moments = jnp.matmul(coordinates.tail, weights.astype(coordinates.tail.dtype), precision=lax.Precision.HIGHEST)
    return moments.astype(jnp.float64).T, nearest


def solve(coordinates: Coordinates, errors: Errors, tolerance: float) -> Roots:
    """Roots of all rows. The tail is read once, through its moments; again only where they cannot certify themselves."""
    first, lead, poles = coordinates.first, coordinates.lead, coordinates.lead_poles
    pole = poles[0]
    tie = errors.shift  # poles closer than this are one pole as far as we can know
    moments, tail_pole = _tail_moments(coordinates)
    orders = jnp.arange(TAIL_TERMS)

    def with_moments(t: Array) -> tuple[Array, Array, Array, Array]:
        at_pole, rest, slope = _pole_sums(lead, poles, t, pole, tie, 0)
        ratio = jnp.where(tail_pole > 0, t / jnp.where(tail_pole > 0, tail_pole, 1), 1)
        powers = ratio[None, :] ** orders[:, None]
        rest += ratio * jnp.sum(moments * powers, 0)
        slope += jnp.sum(moments * powers * (orders[:, None] + 1), 0) / jnp.where(tail_pole > 0, tail_pole, 1)
        remainder = moments[-1] * ratio ** (TAIL_TERMS + 1) / jnp.maximum(1 - ratio, 1e-300)
        return at_pole, rest, slope, jnp.where(ratio < 1, remainder, jnp.inf)

    def exactly(t: Array) -> tuple[Array, Array, Array, Array]:
        at_pole, rest, slope = _pole_sums(lead, poles, t, pole, tie, 0)
        tail = _pole_sums(coordinates.tail.astype(jnp.float64), coordinates.tail_poles, t, pole, tie, 1)
        return at_pole + tail[0], rest + tail[1], slope + tail[2], jnp.zeros_like(t)

    class Step(NamedTuple):
        t: Array
        change: Array
        steps: Array
        at_pole: Array
        rest: Array
        slope: Array
        remainder: Array

    def descend(sums: object, start: Array, steps: Array) -> Step:
        """Step down from a start at or right of every root until no row moves by more than the tolerance."""

        def step(state: Step) -> Step:
            t = _step(state.t, first, pole, state.at_pole, state.rest, state.slope)
            t = jnp.minimum(t, pole)
            return Step(t, jnp.abs(state.t - t), state.steps + 1, *sums(t))  # type: ignore[operator]

        def moving(state: Step) -> Array:
            return (state.steps < _MOST_STEPS) & jnp.any(state.change > tolerance * state.t)

        begin = Step(start, jnp.full_like(start, jnp.inf), steps, *sums(start))  # type: ignore[operator]
        return lax.while_loop(moving, step, step(begin))

    # At t = 0 every term but the nearest pole's is at its smallest, so that the first step lands right of the root.
    state = descend(with_moments, jnp.zeros_like(first), jnp.int32(0))

    def derivative(state: Step) -> Array:
        """phi'(t)"""
        distance = pole - state.t
        near = jnp.where(distance > 0, state.at_pole * pole / jnp.where(distance > 0, distance, 1) ** 2, 0)
        return 1 + state.slope + near

    certified = state.remainder <= tolerance * derivative(state) * state.t
    state = lax.cond(
        jnp.all(certified), lambda state: state, lambda state: descend(exactly, state.t, state.steps), state
    )
    t = state.t
    bound = _bound(t, first, pole, derivative(state), errors)
    bound += state.remainder / derivative(state)
    return Roots(t, bound, state.change, jnp.full(t.shape, state.steps))


def _bound(t: Array, first: Array, pole: Array, derivative: Array, errors: Errors) -> Array:
    """|t - exact t|, from the errors of the inputs; the smallest of three bounds that each hold.

    With S the sum over j > 1, t (1 + S(t)) = z_1^2. An error of G of norm eta moves S(t) to somewhere in
    [S(t - eta), S(t + eta)] (the resolvent is monotone), so that t moves, with d the error of z_1^2,
    - by at most max(eta, t d / z_1^2): S increases, so t' = max(t + eta, t (1 + d / z_1^2)) has t' (1 + S(t' - eta)) >= z_1^2 + d;
      an error e of the row itself adds 2 |f| |e| + |e|^2 at most (Weyl);
    - by (d + eta t S'(t)) / phi'(t) to first order, much less where eta is small beside g_2 - t.
    And no root exceeds z_1^2 or g_2.
    """
    eta = 2 * errors.shift  # the error itself, and the poles that were taken as tied
    z = jnp.sqrt(first)
    square = 2 * z * errors.first + errors.first**2
    room = pole - t - eta
    safe_room = jnp.where(room > 0, room, 1)
    total = jnp.maximum(jnp.where(t > 0, first / jnp.where(t > 0, t, 1), 1) - 1, 0)  # S(t)
    # An error e of the coordinates after the first changes S by at most 2 sqrt(S) |e| / sqrt(g_2 - t) + |e|^2 / (g_2 - t).
    scaled = errors.rest / jnp.sqrt(safe_room)
    of_rest = t * (2 * jnp.sqrt(total) * scaled + scaled**2 + errors.relative * total)
    shifted = eta * jnp.maximum(derivative - 1 - total, 0)  # eta t S'(t)
    growth = ((pole - t) / safe_room) ** 2  # of S', from t to t + eta
    first_order = (square + of_rest + shifted * growth) / derivative
    first_order = jnp.where((room > eta) & (first_order < room / 4), 1.5 * first_order, jnp.inf)
    of_first = jnp.where(first > square, t * square / jnp.where(first > square, first - square, 1), square)
    anywhere = eta + of_first + 2 * errors.norm * errors.rest + errors.rest**2 + errors.relative * t * total
    most = jnp.minimum((z + errors.first) ** 2, pole + eta)
    trivial = jnp.maximum(t, most - t)
    return jnp.minimum(jnp.minimum(first_order, anywhere), trivial)
