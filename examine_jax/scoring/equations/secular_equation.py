"""The secular equation of a rank-one downdate, for many rows at once, with a bound on what its inputs' errors do to the root.

Row f has squared coordinates z_j^2 along the eigenvectors of G, whose eigenvalues are k_1 >= k_2 >= ...; g_j = k_1 - k_j. The largest
eigenvalue of G - f f' is k_1 - t with t the root in [0, g_2] of

    phi(t) = t (1 + sum_{j>1} z_j^2 / (g_j - t)) - z_1^2.

phi is convex and increasing. Writing t * (everything but the nearest pole) as its tangent leaves a quadratic that lies below
phi, so each step solves that quadratic and comes down on the root from the right, with the nearest pole exact.
Golub 1973; Bunch, Nielsen & Sorensen 1978; Li, LAPACK Working Note 93.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array

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
    tail_shift: Array | float  # [] and of a further one within the tail
    rest: Array  # [B] Euclidean norm of the errors of (z_2, z_3, ...)
    tail: Array  # [B] a further one of each coordinate of the tail
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
    # Negative by rounding alone; then no square root below would be real.
    right = jnp.maximum(first - rest + slope * t, 0)
    one = 1 + slope
    linear = one * pole + at_pole + right
    # linear^2 - 4 one right pole, as a sum of squares: the difference cancels where the root meets the pole.
    discriminant = (one * pole - right) ** 2 + at_pole * (2 * (one * pole + right) + at_pole)
    denominator = linear + jnp.sqrt(discriminant)
    return jnp.where(denominator > 0, 2 * right * pole / jnp.where(denominator > 0, denominator, 1), 0)


class _Sums(NamedTuple):
    """Over some of the poles, at t. [B] each."""

    at_pole: Array  # sum of z^2 of those that cannot be told from the nearest pole
    rest: Array  # t * sum of z^2 / (g - t) of the others
    slope: Array  # its derivative
    curvature: Array  # its second derivative


def _pole_sums(squares: Array, poles: Array, t: Array, pole: Array, tie: Array, axis: int) -> _Sums:
    poles = poles[:, None] if axis == 0 else poles[None, :]
    t = t[None, :] if axis == 0 else t[:, None]
    tied = poles - pole <= tie
    inverse = 1 / jnp.where(tied, 1, poles - t)
    terms = jnp.where(tied, 0, squares * inverse)
    slopes = terms * poles * inverse

    def total(values: Array) -> Array:
        # A few rows are added one to the other: XLA's sums over the first axis are slow on a CPU.
        return functools.reduce(jnp.add, list(values)) if axis == 0 else jnp.sum(values, 1)

    return _Sums(
        total(jnp.where(tied, squares, 0)),
        total(terms * t),
        total(slopes),
        2 * total(slopes * inverse),
    )


def _tail_moments(coordinates: Coordinates) -> tuple[Array, Array]:
    """sum_j z_j^2 (g / g_j)^p, p = 1..TAIL_TERMS, [TAIL_TERMS, B], with g the smallest pole of the tail; and g."""
    nearest = coordinates.tail_poles[0]
    safe = jnp.where(nearest > 0, nearest, 1)
    ratio = safe / jnp.maximum(coordinates.tail_poles, safe)
    weights = ratio[:, None] ** jnp.arange(1, TAIL_TERMS + 1)
    moments = jnp.matmul(coordinates.tail, weights.astype(coordinates.tail.dtype), precision=lax.Precision.HIGHEST)
    return moments.astype(jnp.float64).T, nearest


class _Tail(NamedTuple):
    """The tail's part of phi - t + z_1^2 near some t: exact at `origin`, along its tangent elsewhere. [B] each."""

    origin: Array
    sums: _Sums


class _State(NamedTuple):
    t: Array
    change: Array
    steps: Array
    tail: _Sums  # at t
    remainder: Array  # what the tail's sum may be larger by


def solve(coordinates: Coordinates, errors: Errors, tolerance: float) -> Roots:
    """Roots of all rows.

    The tail is read once, through its moments. Where these cannot certify themselves it is read again, exactly at the root found so far,
    and its tangent there stands for it in the next search (from below, the tail's sum being convex: so the search still comes down on
    the root from the right), until the tangent's own error is certified: one such reading squares the distance from the root.
    """
    first, lead, poles = coordinates.first, coordinates.lead, coordinates.lead_poles
    pole = poles[0]
    tie = errors.shift  # poles closer than this are one pole as far as we can know
    moments, tail_pole = _tail_moments(coordinates)
    safe_tail_pole = jnp.where(tail_pole > 0, tail_pole, 1)
    orders = jnp.arange(TAIL_TERMS)

    def of_lead(t: Array) -> _Sums:
        return _pole_sums(lead, poles, t, pole, tie, 0)

    def of_moments(t: Array) -> tuple[_Sums, Array]:
        inside = t < tail_pole
        ratio = jnp.where(
            inside, t / safe_tail_pole, 0
        )  # elsewhere the tail is left out, which keeps the search right of the root
        terms = moments * ratio[None, :] ** orders[:, None]
        remainder = moments[-1] * ratio ** (TAIL_TERMS + 1) / jnp.maximum(1 - ratio, 1e-300)
        slope = jnp.sum(terms * (orders[:, None] + 1), 0) / safe_tail_pole
        sums = _Sums(jnp.zeros_like(t), ratio * jnp.sum(terms, 0), slope, jnp.zeros_like(t))
        return sums, jnp.where(inside, remainder, jnp.inf)

    def read_tail(t: Array) -> _Tail:
        # The barrier keeps the conversion in here: ahead of the loop, every block would pay for it.
        tail, t = lax.optimization_barrier((coordinates.tail, t))
        tail = tail.astype(jnp.float64)
        return _Tail(t, _pole_sums(tail, coordinates.tail_poles, t, pole, tie + 2 * errors.tail_shift, 1))

    def of_tangent(tail: _Tail, t: Array) -> tuple[_Sums, Array]:
        away = t - tail.origin
        sums = tail.sums
        # The curvature grows with t: to the left of the origin, where t ends but for rounding, it is the largest there.
        remainder = jnp.where(away <= 1e-12 * tail.origin, sums.curvature * away**2, jnp.inf)
        return sums._replace(rest=sums.rest + sums.slope * away), remainder

    def descend(of_tail: Callable[[Array], tuple[_Sums, Array]], start: Array, steps: Array) -> _State:
        """Step down from a start at or right of every root until no row moves by more than the tolerance."""

        def moving(state: _State) -> Array:
            return state.change > tolerance * state.t

        def step(state: _State) -> _State:
            near, tail = of_lead(state.t), state.tail
            t = _step(state.t, first, pole, near.at_pole + tail.at_pole, near.rest + tail.rest, near.slope + tail.slope)
            # A row that has come to rest stays there: rounding would move some row at every step.
            t = jnp.where(moving(state), jnp.minimum(t, pole), state.t)
            change = jnp.where(moving(state), jnp.abs(state.t - t), state.change)
            return _State(t, change, state.steps + 1, *of_tail(t))

        def unsettled(state: _State) -> Array:
            return (state.steps < steps + _MOST_STEPS) & jnp.any(moving(state))

        return lax.while_loop(unsettled, step, _State(start, jnp.full_like(start, jnp.inf), steps, *of_tail(start)))

    def derivatives(state: _State) -> tuple[Array, Array]:
        """phi'(t), and the part of it that comes from the tail."""
        near = of_lead(state.t)
        distance = pole - state.t
        scale = jnp.where(distance > 0, pole / jnp.where(distance > 0, distance, 1) ** 2, 0)
        tail = state.tail.slope + state.tail.at_pole * scale
        return 1 + near.slope + near.at_pole * scale + tail, tail

    def uncertain(state: _State) -> Array:
        certified = state.remainder <= tolerance * derivatives(state)[0] * state.t
        return jnp.any(~certified) & (state.steps < 2 * _MOST_STEPS)

    def once_more(state: _State) -> _State:
        tail = read_tail(state.t)
        # The reading counts as a step: NaN, which never moves, must not be read for ever.
        return descend(lambda t: of_tangent(tail, t), state.t, state.steps + 1)

    # At t = 0 every term but the nearest pole's is at its smallest, so that the first step lands right of the root.
    state = lax.while_loop(uncertain, once_more, descend(of_moments, jnp.zeros_like(first), jnp.int32(0)))
    derivative, of_tail = derivatives(state)
    bound = _bound(state.t, first, pole, coordinates.tail_poles, derivative, of_tail, state.tail.rest, errors)
    bound += state.remainder / derivative
    return Roots(state.t, bound, state.change, jnp.full(first.shape, state.steps))


def _bound(
    t: Array,
    first: Array,
    pole: Array,
    tail_poles: Array,
    derivative: Array,
    of_tail: Array,
    rest: Array,
    errors: Errors,
) -> Array:
    """|t - exact t|, from the errors of the inputs; the smallest of three bounds that each hold.

    With S the sum over j > 1, t (1 + S(t)) = z_1^2. An error of G of norm eta moves S(t) to somewhere in
    [S(t - eta), S(t + eta)] (the resolvent is monotone), so that t moves, with d the error of z_1^2,
    - by at most max(eta, t d / z_1^2): S increases, so t' = max(t + eta, t (1 + d / z_1^2)) has t' (1 + S(t' - eta)) >= z_1^2 + d;
      an error e of the row itself adds 2 |f| |e| + |e|^2 at most (Weyl);
    - by (d + eta t S'(t)) / phi'(t) to first order, much less where eta is small beside g_2 - t; an error within the tail moves the
      tail's part of S alone, whose poles are farther.
    And no root exceeds z_1^2 or g_2.
    """
    tail_pole = tail_poles[0]
    # The error itself and, where there are such, the poles that were taken as tied.
    eta = 2 * errors.shift
    eta_tail = jnp.where(tail_pole - pole <= errors.shift + 2 * errors.tail_shift, 2, 1) * errors.tail_shift
    z = jnp.sqrt(first)
    square = 2 * z * errors.first + errors.first**2
    safe_t = jnp.where(t > 0, t, 1)
    total = jnp.maximum(jnp.where(t > 0, first / safe_t, 1) - 1, 0)  # S(t)
    total_tail = jnp.where(t > 0, rest / safe_t, 0)
    room, room_tail = pole - t - eta, jnp.maximum(tail_pole, pole) - t - eta - eta_tail
    safe_room, safe_room_tail = jnp.where(room > 0, room, 1), jnp.where(room_tail > 0, room_tail, 1)

    # Errors e_j of the coordinates after the first change S by at most 2 sqrt(S) sqrt(sum e_j^2 / (g_j - t)) + sum e_j^2 / (g_j - t).
    everywhere = errors.rest / jnp.sqrt(safe_room)
    # 1 / (g_j - t) is at most 1 / g_j times what it is for the nearest of the tail.
    inverses = jnp.sum(1 / jnp.maximum(tail_poles, jnp.maximum(tail_pole, 1e-300))) * jnp.maximum(tail_pole, pole)
    in_tail = errors.tail * jnp.sqrt(inverses / safe_room_tail)
    of_rest = 2 * jnp.sqrt(total) * everywhere + everywhere**2 + 2 * jnp.sqrt(total_tail) * in_tail + in_tail**2
    of_rest = t * (of_rest + errors.relative * total_tail)
    shifted = jnp.maximum(derivative - 1 - total, 0)  # t S'(t)
    shifted_tail = jnp.maximum(of_tail - total_tail, 0)
    growth = ((pole - t) / safe_room) ** 2  # of S', from t to t + eta
    growth_tail = ((jnp.maximum(tail_pole, pole) - t) / safe_room_tail) ** 2
    moved = eta * shifted * growth + eta_tail * shifted_tail * growth_tail
    first_order = (square + of_rest + moved) / derivative
    small = (room > 4 * eta) & (room_tail > 4 * (eta + eta_tail)) & (first_order < room / 16)
    first_order = jnp.where(small, 1.25 * first_order, jnp.inf)
    of_first = jnp.where(first > square, t * square / jnp.where(first > square, first - square, 1), square)
    of_row = errors.rest + errors.tail * tail_poles.shape[0] ** 0.5
    anywhere = eta + eta_tail + of_first + 2 * errors.norm * of_row + of_row**2 + errors.relative * t * total_tail
    most = jnp.minimum((z + errors.first) ** 2, pole + eta + eta_tail)
    trivial = jnp.maximum(t, most - t)
    return jnp.minimum(jnp.minimum(first_order, anywhere), trivial)
