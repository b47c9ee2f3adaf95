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
    """Minus the loss' derivative with respect to decisions: cost * (target - probability)."""
    return cost[:, None] * (targets - probabilities(decisions))


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
        each = jax.nn.softplus(decisions[:, 0]) - targets[:, 0] * decisions[:, 0]
    else:
        each = jax.nn.logsumexp(decisions, axis=1) - jnp.sum(targets * decisions, axis=1)
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
        return jnp.sqrt(cost[:, None] * p * (1 - p))[:, :, None]
    q = jnp.sqrt(p)
    projection = jnp.eye(p.shape[1], dtype=p.dtype) - q[:, :, None] * q[:, None, :]
    return jnp.sqrt(cost)[:, None, None] * q[:, :, None] * projection
