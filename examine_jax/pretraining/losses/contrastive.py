"""Contrastive losses: NT-Xent, and the decoupled loss with and without weights."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float
from examine_jax.pretraining.losses.similarity import normalise

Directions = Literal["mean", "sum", "first"]
"""A loss has two directions, first view to second and back.

It is their mean, their sum, or the first alone.
"""

DIRECTIONS: tuple[Directions, ...] = ("mean", "sum", "first")


def nt_xent(
    first: Float[Array, "batch width"],
    second: Float[Array, "batch width"],
    temperature: float,
    directions: Directions = "mean",
) -> Float[Array, ""]:
    """Normalised temperature-scaled cross-entropy (NT-Xent).

    For each view: -log of exp(s_positive / temperature) over the sum of exp(s / temperature) to all
    2 B - 1 other views of the batch, where s is the cosine. directions="mean" is the mean over the
    2 B views, as in the paper and pytorch-metric-learning; "sum", twice that, is what
    google-research/simclr's TF2 code minimises.

    Args:
        first, second: embeddings of the two views, row i of both from image i; they are normalised
            here.
        temperature: positive.
        directions: "mean", "sum" or "first".

    Returns:
        A float32 scalar.

    Raises:
        ValueError: the batch has fewer than two images.

    Source: Chen et al., arXiv:2002.05709, equation 1.
    """

    def one_direction(anchors: Array, others: Array) -> Array:
        across = _similarities(anchors, others) / temperature
        within = _without_diagonal(_similarities(anchors, anchors) / temperature)
        everything = jax.nn.logsumexp(jnp.concatenate([across, within], axis=1), axis=1)
        return (everything - jnp.diagonal(across)).mean()

    _check_batch("nt_xent", first)
    return _combine(one_direction, normalise(first), normalise(second), directions)


def decoupled_contrastive(
    first: Float[Array, "batch width"],
    second: Float[Array, "batch width"],
    temperature: float,
    directions: Directions = "sum",
    weight_sigma: float | None = None,
) -> Float[Array, ""]:
    """Decoupled contrastive loss (DCL and DCLW): NT-Xent without the positive in the denominator.

    -w s_positive / temperature + logsumexp over the 2 (B - 1) views of other images. w is 1 (DCL)
    or, with weight_sigma (DCLW), 2 - B softmax(s_positive / weight_sigma), the softmax over the
    batch: pairs that are already alike attract less. As in the reference code, gradients flow
    through the weights, and both directions are summed.

    Args:
        first, second: embeddings of the two views, row i of both from image i; they are normalised
            here.
        temperature: positive.
        directions: "mean", "sum" or "first".
        weight_sigma: None for DCL; the paper's DCLW takes 0.5.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: the batch has fewer than two images, so there are no negatives.

    Source: Yeh et al., arXiv:2110.06848, equations 6 and 7.
    """

    def one_direction(anchors: Array, others: Array) -> Array:
        across = _similarities(anchors, others)
        positive = jnp.diagonal(across)
        negatives = jnp.concatenate(
            [_without_diagonal(_similarities(anchors, anchors)), _without_diagonal(across)], axis=1
        )
        weight = (
            1.0
            if weight_sigma is None
            else 2 - len(anchors) * jax.nn.softmax(positive / weight_sigma)
        )
        return (
            jax.nn.logsumexp(negatives / temperature, axis=1) - weight * positive / temperature
        ).mean()

    _check_batch("decoupled_contrastive", first)
    return _combine(one_direction, normalise(first), normalise(second), directions)


def _similarities(anchors: Array, others: Array) -> Array:
    # A temperature of 0.1 magnifies the rounding errors of TF32 and bfloat16 products tenfold.
    return jnp.matmul(anchors, others.T, precision=jax.lax.Precision.HIGHEST)


def _without_diagonal(similarities: Array) -> Array:
    return jnp.where(jnp.eye(len(similarities), dtype=bool), -jnp.inf, similarities)


def _combine(
    one_direction: Callable[[Array, Array], Array],
    first: Array,
    second: Array,
    directions: Directions,
) -> Array:
    if directions not in DIRECTIONS:
        raise ValueError(f"directions must be one of {', '.join(DIRECTIONS)}, got {directions!r}")
    forth = one_direction(first, second)
    if directions == "first":
        return forth
    both = forth + one_direction(second, first)
    return both if directions == "sum" else both / 2


def _check_batch(name: str, embeddings: Array) -> None:
    if len(embeddings) < 2:
        raise ValueError(
            f"{name}: a batch of {len(embeddings)} has no negatives; it takes at least 2 images a "
            "batch"
        )
