"""Line searches and stopping rules that the dual and the primal form share."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Float

# Conjugate-gradient steps before a fit is computed alone by Newton's method. Each costs a few
# matrix products for all fits.
FROZEN_STEPS = 150
# With features of a large scale a step moves each decision by about 1, to some 40 at the optimum.
NEWTON_STEPS = 100
EPSILON = 2.0**-52
# The share of a decision that its rounding error may reach; beyond it a fit counts as failed.
MOST_ROUNDING = 1e-4
_HALVINGS = 24
_LINE_STEPS = 3


def step_length(objective: Callable[[Array], Array], slope: Float[Array, ""]) -> Float[Array, ""]:
    """The longest of 1, 1/2, 1/4, … that satisfies Armijo's condition; 0 if none does.

    The objective is convex.

    All lengths are tried at once: on a line the objective costs one pass over the decisions.

    Args:
        objective: of the length.
        slope: the objective's derivative at length 0, negative.
    """
    lengths = 0.5 ** jnp.arange(_HALVINGS, dtype=slope.dtype)
    values, start = jax.vmap(objective)(lengths), objective(jnp.zeros_like(slope))
    # Near the optimum the expected decrease is below the objective's rounding error: such a step is
    # accepted.
    slack = 8 * jnp.finfo(slope.dtype).eps * jnp.abs(start)
    enough = values <= start + 1e-4 * lengths * slope + slack
    return jnp.where(jnp.any(enough), lengths[jnp.argmax(enough)], 0.0)


def conjugate_descent(
    unknowns: Any,
    decisions: Float[Array, "n c b"],
    targets: Float[Array, "n c"],
    cost: Float[Array, "n b"],
    evaluate: Callable[[Any, Array], tuple[Any, Array, Any]],
    precondition: Callable[[Any, Any], Any],
    along: Callable[[Any, Array, Any], tuple[Array, Array, Array]],
    tolerance: Float[Array, ""],
) -> tuple[Any, Float[Array, " b"]]:
    """Nonlinear conjugate gradients (Polak and Ribière) for b fits at once.

    A frozen inverse curvature preconditions them.

    If the curvature is exact, the first step is Newton's. A few wrong directions, such as after the
    loss of one influential row, cost a few more steps each; steps with the frozen curvature alone
    would converge slowly.

    Args:
        unknowns: a pytree; its last axis counts the fits.
        decisions: those of the unknowns.
        targets: of the rows.
        cost: of each row in each fit; 0: the row is absent.
        evaluate: (unknowns, decisions) -> the descent (a pytree, paired with changes of the
            unknowns), its norm [b], and the input of `precondition`.
        precondition: (unknowns, that input) -> the step.
        along: (unknowns, decisions, step) -> the step's change of the decisions [n, c, b], and the
            penalty's slope and curvature along the step [b].
        tolerance: a fit with a norm below it is done.

    Returns:
        The unknowns and the norms [b]. A fit whose norm is above the tolerance has not converged.
    """

    def pair(one: Any, other: Any) -> Array:
        parts = jax.tree.map(lambda x, y: jnp.sum(x * y, axis=tuple(range(x.ndim - 1))), one, other)
        return sum(jax.tree.leaves(parts), jnp.zeros(cost.shape[1], cost.dtype))

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        count, x, f, descent, norm, extra, last, last_descent, last_product = state
        newton = precondition(x, extra)
        product = pair(newton, descent)
        turn = (product - pair(newton, last_descent)) / last_product
        turn = jnp.where((last_product > 0) & (turn > 0), turn, 0.0)
        direction = jax.tree.map(lambda new, old: new + turn * old, newton, last)
        # If the direction does not descend, restart from the preconditioned gradient.
        turn = jnp.where(pair(direction, descent) > 0, turn, 0.0)
        direction = jax.tree.map(lambda new, old: new + turn * old, newton, last)
        moved, flat, curved = along(x, f, direction)
        length = _lowest(f, moved, flat, curved, targets, cost)
        length = jnp.where(norm <= tolerance, 0.0, length)
        x = jax.tree.map(lambda old, new: old + length * new, x, direction)
        f = f + length * moved
        return (count + 1, x, f, *evaluate(x, f), direction, descent, product)

    def unfinished(state: tuple[Any, ...]) -> Array:
        return (state[0] < FROZEN_STEPS) & jnp.any(~(state[4] <= tolerance))

    zeros = jax.tree.map(jnp.zeros_like, unknowns)
    first = evaluate(unknowns, decisions)
    initial = (
        jnp.int32(0),
        unknowns,
        decisions,
        *first,
        zeros,
        zeros,
        jnp.zeros(cost.shape[1], cost.dtype),
    )
    final = lax.while_loop(unfinished, step, initial)
    return final[1], final[4]


def _lowest(
    f: Array, moved: Array, flat: Array, curved: Array, targets: Array, cost: Array
) -> Array:
    """[b] approximately the minimum along each line, by one-dimensional Newton steps from 1."""

    def newton(length: Array, _: None) -> tuple[Array, None]:
        at = f + length * moved
        if f.shape[1] == 1:
            p = jax.nn.sigmoid(at)
            bend = jnp.sum(p * (1 - p) * moved**2, axis=1)
        else:
            p = jax.nn.softmax(at, axis=1)
            bend = jnp.sum(p * moved**2, axis=1) - jnp.sum(p * moved, axis=1) ** 2
        slope = (
            flat
            + length * curved
            - jnp.sum(cost * jnp.sum((targets[:, :, None] - p) * moved, axis=1), axis=0)
        )
        bend = curved + jnp.sum(cost * bend, axis=0)
        change = jnp.where(bend > 0, slope / bend, 0.0)
        return jnp.clip(length - change, 0.2 * length, 5 * length), None

    return lax.scan(newton, jnp.ones_like(flat), None, length=_LINE_STEPS)[0]
