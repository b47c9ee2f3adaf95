"""The losses of a detector, element by element."""

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Bool, Float, Int


def smooth_l1(difference: Float[Array, "*shape"], beta: int | float) -> Float[Array, "*shape"]:
    """|x| - beta / 2, and x^2 / (2 beta) where |x| < beta; |x| if beta is 0.

    Source:
        Girshick, Fast R-CNN, arXiv:1504.08083, with beta = 1. torchvision's detectors take 1/9,
        mmdetection 0.
    """
    size = jnp.abs(difference)
    if beta == 0:
        return size
    return jnp.where(size < beta, 0.5 * jnp.square(difference) / beta, size - 0.5 * beta)


def binary_cross_entropy(
    logits: Float[Array, "*shape"], truth: Bool[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """-log of the probability that a logit gives to the truth."""
    return jax.nn.softplus(jnp.where(truth, -logits, logits))


def cross_entropy(
    logits: Float[Array, "*shape classes"], label: Int[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """-log of the probability that the logits give to the label."""
    own = jnp.take_along_axis(logits, label[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - own


def mean_where(
    values: Float[Array, "*shape"], mask: Bool[Array, "*shape"], count: Int[Array, ""] | None = None
) -> Float[Array, ""]:
    """The sum of the values where the mask is set, over their number or over `count`.

    It is 0 where nothing is counted. Other values may be NaN.
    """
    total = mask.sum() if count is None else count
    return jnp.where(mask, values, 0).sum() / lax.max(total, jnp.ones_like(total))
