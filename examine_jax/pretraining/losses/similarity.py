"""Unit vectors, their similarities, and losses that are a similarity."""

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float

_SHORTEST_SQUARE = 1e-12  # a vector shorter than 1e-6 has no reliable direction in float32


def at_least_float32(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Values of at least float32, the narrowest type in which losses are summed."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def normalise(vectors: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
    """Each row divided by its Euclidean norm; at least float32.

    Rows shorter than 1e-6 become zero and have no gradient, because the true gradient grows as the
    row shrinks. (The reference codes bound the norm from below instead, which gives a zero row a
    gradient that is 1e6 or 1e12 times too large.)
    """
    vectors = at_least_float32(vectors)
    squares = jnp.square(vectors).sum(axis=-1, keepdims=True)
    usable = squares > _SHORTEST_SQUARE
    return vectors * jnp.where(usable, jax.lax.rsqrt(jnp.where(usable, squares, 1)), 0)


def cosine(
    first: Float[Array, "batch width"], second: Float[Array, "batch width"]
) -> Float[Array, " batch"]:
    """The cosine of the angle between rows of the same index; 0 if one of them is zero."""
    return (normalise(first) * normalise(second)).sum(axis=-1)


def negative_cosine(
    prediction: Float[Array, "batch width"], target: Float[Array, "batch width"]
) -> Float[Array, ""]:
    """Mean over the batch of -cos(prediction, target); the target is a constant.

    Source: Chen and He, arXiv:2011.10566, equations 1 and 3.
    """
    return -cosine(prediction, jax.lax.stop_gradient(target)).mean()


def normalised_regression(
    prediction: Float[Array, "batch width"], target: Float[Array, "batch width"]
) -> Float[Array, ""]:
    """Mean over the batch of |p/|p| - z/|z||^2 = 2 - 2 cos(p, z), targets z constant.

    It is computed as the square of the difference, which is accurate near zero.

    Source: Grill et al., arXiv:2006.07733, equation 2, one direction.
    """
    difference = normalise(prediction) - normalise(jax.lax.stop_gradient(target))
    return jnp.square(difference).sum(axis=-1).mean()


def embedding_deviation(embeddings: Float[Array, "batch width"]) -> Float[Array, ""]:
    """Standard deviation of the normalised embeddings' coordinates over the batch, then their mean.

    It is 0 if all embeddings point the same way (collapse) and at most 1/sqrt(width). No gradient
    flows through it.

    Source: Chen and He, arXiv:2011.10566, figure 2.
    """
    return normalise(jax.lax.stop_gradient(embeddings)).std(axis=0).mean()
