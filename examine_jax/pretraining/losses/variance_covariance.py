"""VICReg's three terms (Bardes, Ponce and LeCun, arXiv:2105.04906), unweighted, at least float32.

Embeddings are not normalised.
"""

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float
from examine_jax.pretraining.losses.similarity import at_least_float32


def invariance(
    first: Float[Array, "batch width"], second: Float[Array, "batch width"]
) -> Float[Array, ""]:
    """Mean squared difference of the two views' embeddings (the reference code's F.mse_loss)."""
    return jnp.square(at_least_float32(first) - at_least_float32(second)).mean()


def variance_hinge(
    embeddings: Float[Array, "batch width"], epsilon: float = 1e-4
) -> Float[Array, ""]:
    """Mean over coordinates of max(0, 1 - sqrt(var + epsilon)), var unbiased over the batch.

    Raises:
        ValueError: fewer than two rows have no variance.

    Source: equations 1 and 2.
    """
    _check_batch("variance_hinge", embeddings)
    deviation = jnp.sqrt(at_least_float32(embeddings).var(axis=0, ddof=1) + epsilon)
    return jnp.maximum(0, 1 - deviation).mean()


def covariance_penalty(embeddings: Float[Array, "batch width"]) -> Float[Array, ""]:
    """Sum of squares of the covariances (over batch - 1) of different coordinates, over the width.

    If the width is larger than the batch, the sum of all squares comes from the batch's Gram
    matrix, which has the same sum: [batch, batch] in place of [width, width]. At width 8192 and
    batch 64 that is 1/128 of the work and 1/16000 of the memory.

    Raises:
        ValueError: fewer than two rows have no covariance.

    Source: equations 3 and 4.
    """
    _check_batch("covariance_penalty", embeddings)
    batch, width = embeddings.shape
    centred = at_least_float32(embeddings)
    centred = centred - centred.mean(axis=0)
    left = centred if batch < width else centred.T
    products = jnp.matmul(left, left.T, precision=jax.lax.Precision.HIGHEST) / (batch - 1)
    if batch < width:
        variances = jnp.square(centred).sum(axis=0) / (batch - 1)
        return (jnp.square(products).sum() - jnp.square(variances).sum()) / width
    return jnp.where(jnp.eye(width, dtype=bool), 0, jnp.square(products)).sum() / width


def _check_batch(name: str, embeddings: Array) -> None:
    if len(embeddings) < 2:
        raise ValueError(
            f"{name}: a batch of {len(embeddings)} does not vary; it takes at least 2 images a "
            "batch"
        )
