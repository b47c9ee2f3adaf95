"""Any eigenvalue of a rank-one downdate; `secular_equation` finds only the largest. Float64.

Row f has squared coordinates z_l^2 along the eigenvectors of G, whose eigenvalues are
k_1 >= k_2 >= ... The j-th eigenvalue of G - f f' lies in [k_{j+1}, k_j]. It is k_j - t, where t is
the largest root in [0, g_{j+1}], g_l = k_j - k_l, of

    phi(t) = t + sum_{l != j} z_l^2 t / (g_l - t) - z_j^2.

phi is convex on this interval, because the terms of the larger eigenvalues (g_l <= 0) are convex
too, and phi(0) <= 0. A step replaces all terms except the nearest pole's by their tangent. This
gives a function below phi, whose root lies to the right of phi's root. So the steps descend to the
root from the right, as in `secular_equation`. Equal eigenvalues form one pole with the sum of their
weights.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array

_MOST_STEPS = 80
# The iteration stops when the relative change is below this. Convergence is quadratic, so the next
# change would be below rounding error.
_TOLERANCE = 1e-11


class _State(NamedTuple):
    t: Array  # [B]
    change: Array  # [B]
    steps: Array  # []


def eigenvalue_drops(squares: Array, values: Array, index: Array) -> Array:
    """How far the j-th largest eigenvalue, j = index + 1, drops when each row is left out.

    That is k_j minus the j-th largest eigenvalue without the row, to float64's relative accuracy.

    Args:
        squares: [B, n] z_l^2.
        values: [n] k_l, descending and nonnegative.
        index: [] integer from 0 to n - 1.

    Returns:
        [B], nonnegative.
    """
    size = values.shape[0]
    places = jnp.arange(size)
    poles = values[index] - values
    # The smallest eigenvalue has no next one. Its lower limit is 0, because no eigenvalue becomes
    # negative.
    pole = jnp.where(index + 1 < size, poles[jnp.minimum(index + 1, size - 1)], values[index])
    own = (places <= index) & (poles == 0)
    next_ = (places > index) & (poles <= pole)
    first = jnp.sum(jnp.where(own, squares, 0), 1)
    at_pole = jnp.sum(jnp.where(next_, squares, 0), 1)
    others = jnp.where(own | next_, 0, squares)
    distances = jnp.where(own | next_, -1, poles)

    def step(state: _State) -> _State:
        t = state.t
        inverse = 1 / (distances - t[:, None])
        terms = others * inverse
        rest = t * jnp.sum(terms, 1)
        one = 1 + jnp.sum(terms * distances * inverse, 1)
        right = jnp.maximum(first - rest + (one - 1) * t, 0)
        # The root in [0, pole] of one s + at_pole s / (pole - s) = right; `one` may be negative.
        linear = one * pole + at_pole + right
        squared = (one * pole - right) ** 2 + at_pole * (2 * (one * pole + right) + at_pole)
        root = jnp.sqrt(jnp.where(one > 0, squared, linear**2 - 4 * one * right * pole))
        low = linear + root
        small = 2 * right * pole / jnp.where(low > 0, low, 1)
        found = jnp.where(
            linear >= 0,
            jnp.where(low > 0, small, 0),
            (linear - root) / jnp.where(one < 0, 2 * one, 1),
        )
        found = jnp.clip(found, 0, pole)
        return _State(found, jnp.abs(found - t), state.steps + 1)

    def moving(state: _State) -> Array:
        settled = state.change <= _TOLERANCE * state.t + 1e-30 * values[0]
        return (state.steps < _MOST_STEPS) & ~jnp.all(settled | jnp.isnan(state.t))

    start = _State(jnp.minimum(first, pole) / 2, jnp.full_like(first, jnp.inf), jnp.int32(0))
    found: _State = lax.while_loop(moving, step, step(start))
    return found.t
