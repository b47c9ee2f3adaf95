"""The logistic loss, its gradient and a square root of its curvature.

One column stands for two classes; several columns are a softmax.
"""

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float


def gradient(
    decisions: Float[Array, "rows columns"],
    targets: Float[Array, "rows columns"],
    cost: Float[Array, " rows"],
) -> Float[Array, "rows columns"]:
    """Minus the loss' derivative with respect to decisions: cost * (target - probability).

    It is computed without that difference: where p is 1 but for rounding, 1 - p has no digits.
    """
    if decisions.shape[1] == 1:
        side = 2 * targets - 1
        return cost[:, None] * side * jax.nn.sigmoid(-side * decisions)
    others = probabilities(decisions) * (1 - targets)
    return cost[:, None] * (targets * jnp.sum(others, axis=1, keepdims=True) - others)


def probabilities(decisions: Float[Array, "rows columns"]) -> Float[Array, "rows columns"]:
    """The probability of each column's class; a single column is that of the second class."""
    return (
        jax.nn.sigmoid(decisions) if decisions.shape[1] == 1 else jax.nn.softmax(decisions, axis=1)
    )


def loss(
    decisions: Float[Array, "rows columns"],
    targets: Float[Array, "rows columns"],
    cost: Float[Array, " rows"],
) -> Float[Array, ""]:
    """sum_i cost_i * -log(probability of row i's class)."""
    if decisions.shape[1] == 1:
        each = jax.nn.softplus((1 - 2 * targets[:, 0]) * decisions[:, 0])
    else:
        own = jnp.sum(targets * decisions, axis=1, keepdims=True)
        # log(1 + sum over the other classes of exp(f - own f)); the sum may be far below 1.
        rest = jax.nn.logsumexp(jnp.where(targets > 0, -jnp.inf, decisions - own), axis=1)
        each = jax.nn.softplus(rest)
    return jnp.sum(cost * each)


def curvature_root(
    decisions: Float[Array, "rows columns"], cost: Float[Array, " rows"]
) -> Float[Array, "rows columns columns"]:
    """R such that R R' is each row's second derivative, cost * (diag p - p p').

    With one column it is cost * p (1 - p).

    q = sqrt(p) is a unit vector, so diag p - p p' = diag q (I - q q') diag q, and I - q q' is its
    own square.
    """
    p = probabilities(decisions)
    if decisions.shape[1] == 1:
        return jnp.sqrt(cost[:, None] * p * jax.nn.sigmoid(-decisions))[:, :, None]
    q = jnp.sqrt(p)
    identity = jnp.eye(p.shape[1], dtype=p.dtype)
    # 1 - p as the sum over the other classes keeps its digits where p is nearly 1.
    own = identity * (p @ (1 - identity))[:, None, :]
    projection = own - (1 - identity) * (q[:, :, None] * q[:, None, :])
    return jnp.sqrt(cost)[:, None, None] * q[:, :, None] * projection


def curvature_bound(
    decisions: Float[Array, "rows columns"], cost: Float[Array, " rows"]
) -> Float[Array, "rows columns"]:
    """cost * p (1 - p): how far an error of a decision moves the gradient."""
    p = probabilities(decisions)
    if decisions.shape[1] == 1:
        return cost[:, None] * p * jax.nn.sigmoid(-decisions)
    return cost[:, None] * p * (p @ (1 - jnp.eye(p.shape[1], dtype=p.dtype)))
