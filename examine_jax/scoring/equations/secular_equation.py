"""The secular equation of a rank-one downdate, for many rows at once.

Row f has squared coordinates z_j^2 along the eigenvectors of G, whose eigenvalues are
k_1 >= k_2 >= ...; g_j = k_1 - k_j. The largest eigenvalue of G - f f' is k_1 - t, where t is the
root in [0, g_2] of

    phi(t) = t (1 + sum_{j>1} z_j^2 / (g_j - t)) - z_1^2.

phi is convex and increasing. A step keeps the nearest pole's term exactly and replaces all other
terms by their tangent. This leaves a quadratic equation, whose function lies below phi. Each step
solves this equation, and so descends to the root from the right.

The error bounds say how far errors of the inputs can move a root.

Source: Golub, SIAM Review 15:318 (1973); Bunch, Nielsen & Sorensen, Numer. Math. 31:31 (1978); Li,
    LAPACK Working Note 93.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array

TAIL_TERMS = 6  # the number of the tail's moments; the remainder decreases with (t / g)^6
# A step that moves a root by less than this share of its distance from the pole is the last one; so
# is a step that is only rounding.
_SHARE_OF_ROOM = 1e-4
_SMALLEST_CHANGE = 1e-15
_MOST_STEPS = 60  # at worst a step only doubles the distance from a pole; 60 steps are enough

_barrier: Callable[..., Any] = lax.optimization_barrier  # jax has no type for it


class Coordinates(NamedTuple):
    """Squared coordinates of B rows along the eigenvectors, and their poles.

    Float64 except `tail`.
    """

    first: Array  # [B] z_1^2
    lead: Array  # [m, B] z_j^2 of the m eigenvectors after the first
    lead_poles: Array  # [m] g_j, ascending, the first is g_2
    tail: Array  # [B, T] z_j^2 of the rest, in the dtype of the matrix products
    tail_poles: Array  # [T] g_j, ascending


class Errors(NamedTuple):
    """Bounds on the errors of the inputs. Float64."""

    first: Array  # [B] of |z_1|
    shift: Array  # [] spectral norm of the error of G outside the first eigenvector
    tail_shift: Array | float  # [] spectral norm of an additional error of G within the tail
    rest: Array  # [B] Euclidean norm of the errors of (z_2, z_3, ...)
    tail: Array  # [B] an additional error of each coordinate of the tail
    norm: Array  # [B] Euclidean norm of the rows themselves
    relative: float | Array  # relative error of the sums over the tail


class Roots(NamedTuple):
    """The roots with their error bounds. Float64."""

    t: Array  # [B]
    bound: Array  # [B] |t - exact t| is at most this
    residual: Array  # [B] |phi(t)| / phi'(t), at the last step
    steps: Array  # [B] int32, of the slowest row of the block


def _step(t: Array, first: Array, pole: Array, at_pole: Array, rest: Array, slope: Array) -> Array:
    """The smaller root of (1 + slope) s + s * at_pole / (pole - s) = first - rest + slope t."""
    # Only rounding can make this negative; the square root below would then be NaN.
    right = jnp.maximum(first - rest + slope * t, 0)
    one = 1 + slope
    linear = one * pole + at_pole + right
    # This is linear^2 - 4 one right pole, written as a sum of nonnegative terms. The difference
    # would cancel where the root is close to the pole.
    discriminant = (one * pole - right) ** 2 + at_pole * (2 * (one * pole + right) + at_pole)
    denominator = linear + jnp.sqrt(discriminant)
    return jnp.where(
        denominator > 0, 2 * right * pole / jnp.where(denominator > 0, denominator, 1), 0
    )


class _Sums(NamedTuple):
    """Sums over some of the poles at t, [B] each."""

    at_pole: Array  # sum of z^2 over the poles that count as tied with the nearest one
    rest: Array  # t * sum of z^2 / (g - t) over the other poles
    slope: Array  # the derivative of `rest`
    curvature: Array  # its second derivative


def _pole_sums(squares: Array, poles: Array, t: Array, pole: Array, tie: Array, axis: int) -> _Sums:
    poles = poles[:, None] if axis == 0 else poles[None, :]
    t = t[None, :] if axis == 0 else t[:, None]
    tied = poles - pole <= tie
    inverse = 1 / jnp.where(tied, 1, poles - t)
    terms = jnp.where(tied, 0, squares * inverse)
    slopes = terms * poles * inverse

    def total(values: Array) -> Array:
        # The few terms are added one by one: XLA's sums over the first axis are slow on a CPU.
        return functools.reduce(jnp.add, list(values)) if axis == 0 else jnp.sum(values, 1)

    return _Sums(
        total(jnp.where(tied, squares, 0)),
        total(terms * t),
        total(slopes),
        2 * total(slopes * inverse),
    )


def _tail_moments(coordinates: Coordinates) -> tuple[Array, Array]:
    """The moments sum_j z_j^2 (g / g_j)^p, p = 1..TAIL_TERMS, [TAIL_TERMS, B], and g.

    g is the tail's smallest pole.
    """
    nearest = coordinates.tail_poles[0]
    safe = jnp.where(nearest > 0, nearest, 1)
    ratio = safe / jnp.maximum(coordinates.tail_poles, safe)
    weights = ratio[:, None] ** jnp.arange(1, TAIL_TERMS + 1)
    moments = jnp.matmul(
        coordinates.tail, weights.astype(coordinates.tail.dtype), precision=lax.Precision.HIGHEST
    )
    return moments.astype(jnp.float64).T, nearest


class _Tail(NamedTuple):
    """The tail's part of phi - t + z_1^2: exact at `origin`, its tangent elsewhere. [B] each."""

    origin: Array
    sums: _Sums


class _State(NamedTuple):
    t: Array
    change: Array
    steps: Array
    tail: _Sums  # at t
    remainder: Array  # the tail's exact sum exceeds the computed one by at most this


def solve(coordinates: Coordinates, errors: Errors, tolerance: float) -> Roots:
    """The roots of all rows, to the relative `tolerance`.

    The tail is read once, to compute its moments. If the moments' remainder is too large, the tail
    is read again: its sum and its derivative are computed exactly at the present root, and the next
    search uses this tangent. (The tail's sum is convex, so the tangent lies below it, and the
    search still descends from the right.) This is repeated until the tangent's error is small
    enough. With each reading, the distance from the root is about squared.
    """
    first, lead, poles = coordinates.first, coordinates.lead, coordinates.lead_poles
    pole = poles[0]
    tie = errors.shift  # poles closer together than this count as tied
    moments, tail_pole = _tail_moments(coordinates)
    safe_tail_pole = jnp.where(tail_pole > 0, tail_pole, 1)
    orders = jnp.arange(TAIL_TERMS)

    def of_lead(t: Array) -> _Sums:
        return _pole_sums(lead, poles, t, pole, tie, 0)

    def of_moments(t: Array) -> tuple[_Sums, Array]:
        inside = t < tail_pole
        # Beyond the tail's first pole the tail is left out, so that the search stays to the right
        # of the root.
        ratio = jnp.where(inside, t / safe_tail_pole, 0)
        terms = moments * ratio[None, :] ** orders[:, None]
        remainder = moments[-1] * ratio ** (TAIL_TERMS + 1) / jnp.maximum(1 - ratio, 1e-300)
        slope = jnp.sum(terms * (orders[:, None] + 1), 0) / safe_tail_pole
        sums = _Sums(jnp.zeros_like(t), ratio * jnp.sum(terms, 0), slope, jnp.zeros_like(t))
        return sums, jnp.where(inside, remainder, jnp.inf)

    def read_tail(t: Array) -> _Tail:
        # The barrier keeps the conversion to float64 inside the loop. Otherwise XLA moves it in
        # front of the loop, where it takes time in every block.
        tail, t = _barrier((coordinates.tail, t))
        tail = tail.astype(jnp.float64)
        return _Tail(
            t, _pole_sums(tail, coordinates.tail_poles, t, pole, tie + 2 * errors.tail_shift, 1)
        )

    def of_tangent(tail: _Tail, t: Array) -> tuple[_Sums, Array]:
        away = t - tail.origin
        sums = tail.sums
        # The curvature grows with t, so to the left of the origin it is largest at the origin.
        # Except for rounding, t ends to the left of the origin.
        remainder = jnp.where(away <= 1e-12 * tail.origin, sums.curvature * away**2, jnp.inf)
        return sums._replace(rest=sums.rest + sums.slope * away), remainder

    def descend(
        of_tail: Callable[[Array], tuple[_Sums, Array]], start: Array, steps: Array
    ) -> _State:
        """Descends from a start at or to the right of the root until all rows have converged."""

        def moving(state: _State) -> Array:
            # A root near its pole may be needed to a share of their distance: it is what is left of
            # the first eigenvalue without a row that holds nearly all of it.
            left = (state.change > _SHARE_OF_ROOM * (pole - state.t)) & (
                state.change > _SMALLEST_CHANGE * state.t
            )
            return (state.change > tolerance * state.t) | left

        def step(state: _State) -> _State:
            near, tail = of_lead(state.t), state.tail
            t = _step(
                state.t,
                first,
                pole,
                near.at_pole + tail.at_pole,
                near.rest + tail.rest,
                near.slope + tail.slope,
            )
            # A row that has converged is not changed. Otherwise rounding would move some row at
            # every step.
            t = jnp.where(moving(state), jnp.minimum(t, pole), state.t)
            change = jnp.where(moving(state), jnp.abs(state.t - t), state.change)
            return _State(t, change, state.steps + 1, *of_tail(t))

        def unsettled(state: _State) -> Array:
            return (state.steps < steps + _MOST_STEPS) & jnp.any(moving(state))

        begin = _State(start, jnp.full_like(start, jnp.inf), steps, *of_tail(start))
        settled: _State = lax.while_loop(unsettled, step, begin)
        return settled

    def derivatives(state: _State) -> tuple[Array, Array]:
        """phi'(t), and the tail's part of it."""
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
        # The reading counts as a step. Otherwise this loop would never end for NaN, which is never
        # certified.
        return descend(lambda t: of_tangent(tail, t), state.t, state.steps + 1)

    # At t = 0 all terms except the nearest pole's have their smallest value, so the first step ends
    # to the right of the root.
    state = lax.while_loop(
        uncertain, once_more, descend(of_moments, jnp.zeros_like(first), jnp.int32(0))
    )
    derivative, of_tail = derivatives(state)
    bound = _bound(
        state.t, first, pole, coordinates.tail_poles, derivative, of_tail, state.tail.rest, errors
    )
    # A step at least halves the distance from the root, so the last step exceeds what is left.
    bound += state.remainder / derivative + state.change
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
    """A bound on |t - exact t| from the inputs' errors: the smallest of three.

    With S the sum over j > 1, t (1 + S(t)) = z_1^2. The resolvent is monotone, so an error of G of
    norm eta moves S(t) to a value in [S(t - eta), S(t + eta)]. With d the error of z_1^2:

    - t moves by at most max(eta, t d / z_1^2). S increases, so t' = max(t + eta, t (1 + d / z_1^2))
      satisfies t' (1 + S(t' - eta)) >= z_1^2 + d. An error e of the row itself adds at most
      2 |f| |e| + |e|^2 (Weyl).
    - To first order t moves by (d + eta t S'(t)) / phi'(t). This is much smaller if eta is small
      compared with g_2 - t. An error within the tail changes only the tail's part of S, whose poles
      are farther away.
    - No root exceeds z_1^2 or g_2.
    """
    tail_pole = tail_poles[0]
    # The factor 2: the error itself, and the distances of the poles that count as tied.
    eta = 2 * errors.shift
    eta_tail = (
        jnp.where(tail_pole - pole <= errors.shift + 2 * errors.tail_shift, 2, 1)
        * errors.tail_shift
    )
    z = jnp.sqrt(first)
    square = 2 * z * errors.first + errors.first**2
    safe_t = jnp.where(t > 0, t, 1)
    total = jnp.maximum(jnp.where(t > 0, first / safe_t, 1) - 1, 0)  # S(t)
    total_tail = jnp.where(t > 0, rest / safe_t, 0)
    room, room_tail = pole - t - eta, jnp.maximum(tail_pole, pole) - t - eta - eta_tail
    safe_room, safe_room_tail = jnp.where(room > 0, room, 1), jnp.where(room_tail > 0, room_tail, 1)

    # Errors e_j of the coordinates after the first change S by at most
    # 2 sqrt(S) sqrt(sum e_j^2 / (g_j - t)) + sum e_j^2 / (g_j - t).
    in_all = errors.rest / jnp.sqrt(safe_room)
    # In the tail, 1 / (g_j - t) is at most (g / g_j) / (g - t), where g is the tail's nearest pole.
    inverses = jnp.sum(1 / jnp.maximum(tail_poles, jnp.maximum(tail_pole, 1e-300))) * jnp.maximum(
        tail_pole, pole
    )
    in_tail = errors.tail * jnp.sqrt(inverses / safe_room_tail)
    of_rest = (
        2 * jnp.sqrt(total) * in_all + in_all**2 + 2 * jnp.sqrt(total_tail) * in_tail + in_tail**2
    )
    of_rest = t * (of_rest + errors.relative * total_tail)
    shifted = jnp.maximum(derivative - 1 - total, 0)  # t S'(t)
    shifted_tail = jnp.maximum(of_tail - total_tail, 0)
    growth = ((pole - t) / safe_room) ** 2  # of S', from t to t + eta
    growth_tail = ((jnp.maximum(tail_pole, pole) - t) / safe_room_tail) ** 2
    moved = eta * shifted * growth + eta_tail * shifted_tail * growth_tail
    first_order = (square + of_rest + moved) / derivative
    small = (room > 4 * eta) & (room_tail > 4 * (eta + eta_tail)) & (first_order < room / 16)
    first_order = jnp.where(small, 1.25 * first_order, jnp.inf)
    of_first = jnp.where(
        first > square, t * square / jnp.where(first > square, first - square, 1), square
    )
    of_row = errors.rest + errors.tail * tail_poles.shape[0] ** 0.5
    anywhere = (
        eta
        + eta_tail
        + of_first
        + 2 * errors.norm * of_row
        + of_row**2
        + errors.relative * t * total_tail
    )
    most = jnp.minimum((z + errors.first) ** 2, pole + eta + eta_tail)
    trivial = jnp.maximum(t, most - t)
    return jnp.minimum(jnp.minimum(first_order, anywhere), trivial)
