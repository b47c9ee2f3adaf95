"""The logistic loss of one class column (binary) or several (softmax), its gradient and a factor of its curvature."""

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float


def gradient(
    decisions: Float[Array, "rows columns"], targets: Float[Array, "rows columns"], cost: Float[Array, " rows"]
) -> Float[Array, "rows columns"]:
    """Minus the derivative of the loss with respect to the decisions: cost * (target - probability).

    Without the difference: where a fit is sure of its rows, 1 - p has no digits left, and the fit hangs on them.
    """
    if decisions.shape[1] == 1:
        side = 2 * targets - 1
        return cost[:, None] * side * jax.nn.sigmoid(-side * decisions)
    others = probabilities(decisions) * (1 - targets)
    return cost[:, None] * (targets * jnp.sum(others, axis=1, keepdims=True) - others)


def probabilities(decisions: Float[Array, "rows columns"]) -> Float[Array, "rows columns"]:
    """Of the columns' classes; a single column is the second class's."""
    return jax.nn.sigmoid(decisions) if decisions.shape[1] == 1 else jax.nn.softmax(decisions, axis=1)


def loss(
    decisions: Float[Array, "rows columns"], targets: Float[Array, "rows columns"], cost: Float[Array, " rows"]
) -> Float[Array, ""]:
    """sum_i cost_i * -log(probability of row i's class)."""
    if decisions.shape[1] == 1:
        each = jax.nn.softplus((1 - 2 * targets[:, 0]) * decisions[:, 0])
    else:
        own = jnp.sum(targets * decisions, axis=1, keepdims=True)
        # log(1 + sum over the other classes of exp(f - own f)), of which the sum may be far below 1.
        rest = jax.nn.logsumexp(jnp.where(targets > 0, -jnp.inf, decisions - own), axis=1)
        each = jax.nn.softplus(rest)
    return jnp.sum(cost * each)


def curvature_root(
    decisions: Float[Array, "rows columns"], cost: Float[Array, " rows"]
) -> Float[Array, "rows columns columns"]:
    """R with R R' = each row's second derivative, cost * (diag p - p p') (one column: cost * p (1 - p)).

    With q = sqrt(p), a unit vector: diag p - p p' = diag q (I - q q') diag q, and I - q q' is its own square.
    """
    p = probabilities(decisions)
    if decisions.shape[1] == 1:
        return jnp.sqrt(cost[:, None] * p * jax.nn.sigmoid(-decisions))[:, :, None]
    q = jnp.sqrt(p)
    identity = jnp.eye(p.shape[1], dtype=p.dtype)
    # 1 - p is the sum over the other classes, which keeps its digits where p is 1 but for rounding.
    projection = identity * (p @ (1 - identity))[:, None, :] - (1 - identity) * (q[:, :, None] * q[:, None, :])
    return jnp.sqrt(cost)[:, None, None] * q[:, :, None] * projection


def curvature_bound(
    decisions: Float[Array, "rows columns"], cost: Float[Array, " rows"]
) -> Float[Array, "rows columns"]:
    """cost * p (1 - p): how far an error of a decision moves the gradient."""
    p = probabilities(decisions)
    if decisions.shape[1] == 1:
        return cost[:, None] * p * jax.nn.sigmoid(-decisions)
    return cost[:, None] * p * (p @ (1 - jnp.eye(p.shape[1], dtype=p.dtype)))
