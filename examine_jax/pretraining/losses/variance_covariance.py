"""VICReg's three terms (Bardes, Ponce and LeCun, arXiv:2105.04906), each unweighted and at least float32.

Embeddings are taken as they are, not normalised.
"""

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float
from examine_jax.pretraining.losses.similarity import at_least_float32


def invariance(first: Float[Array, "batch width"], second: Float[Array, "batch width"]) -> Float[Array, ""]:
    """Mean squared difference of the two views' embeddings, over batch and width (the reference code's F.mse_loss)."""
    return jnp.square(at_least_float32(first) - at_least_float32(second)).mean()


def variance_hinge(embeddings: Float[Array, "batch width"], epsilon: float = 1e-4) -> Float[Array, ""]:
    """mean over coordinates of max(0, 1 - sqrt(var + epsilon)); the unbiased variance over the batch (equations 1 and 2).

    Raises:
        ValueError: fewer than two rows, which have no variance.
    """
    _check_batch("variance_hinge", embeddings)
    deviation = jnp.sqrt(at_least_float32(embeddings).var(axis=0, ddof=1) + epsilon)
    return jnp.maximum(0, 1 - deviation).mean()


def covariance_penalty(embeddings: Float[Array, "batch width"]) -> Float[Array, ""]:
    """Sum of the squared off-diagonal entries of the covariance matrix (over batch - 1), over the width (equations 3 and 4).

    Where the width is larger than the batch, the sum of all squares is taken from the Gram matrix of the batch, which has the same
    one: [batch, batch] in place of [width, width], at 8192 wide and a batch of 64 a 128th of the work and a 16000th of the memory.

    Raises:
        ValueError: fewer than two rows, which have no covariance.
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
        raise ValueError(f"{name}: a batch of {len(embeddings)} does not vary; it takes at least 2 images a batch")
