"""Unit vectors, their similarities, and the losses that are nothing but a similarity."""

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float

_SHORTEST_SQUARE = 1e-12  # a vector shorter than 1e-6 has no direction that float32 could be trusted with


def at_least_float32(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """bfloat16 and float16 as float32, wider types as they are: losses are summed in no narrower type."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def normalise(vectors: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
    """Each row over its Euclidean norm; at least float32.

    Rows shorter than 1e-6 become zero, and no gradient flows through them: the true one would be as large as they are short (the
    reference codes put a floor under the norm instead, which hands a zero row a gradient of 1e6 or 1e12 times what it should be).
    """
    vectors = at_least_float32(vectors)
    squares = jnp.square(vectors).sum(axis=-1, keepdims=True)
    usable = squares > _SHORTEST_SQUARE
    return vectors * jnp.where(usable, jax.lax.rsqrt(jnp.where(usable, squares, 1)), 0)


def cosine(first: Float[Array, "batch width"], second: Float[Array, "batch width"]) -> Float[Array, " batch"]:
    """The cosine of the angle between rows of the same index; 0 where one of them is zero."""
    return (normalise(first) * normalise(second)).sum(axis=-1)


def negative_cosine(prediction: Float[Array, "batch width"], target: Float[Array, "batch width"]) -> Float[Array, ""]:
    """-cos(prediction, target), the mean over the batch; the target is a constant (Chen and He, arXiv:2011.10566, equations 1 and 3)."""
    return -cosine(prediction, jax.lax.stop_gradient(target)).mean()


def normalised_regression(
    prediction: Float[Array, "batch width"], target: Float[Array, "batch width"]
) -> Float[Array, ""]:
    """|prediction/|prediction| - target/|target||^2 = 2 - 2 cos, the mean over the batch; the target is a constant.

    Grill et al., arXiv:2006.07733, equation 2, one direction; written as the difference's square, which keeps its digits near zero.
    """
    difference = normalise(prediction) - normalise(jax.lax.stop_gradient(target))
    return jnp.square(difference).sum(axis=-1).mean()


def embedding_deviation(embeddings: Float[Array, "batch width"]) -> Float[Array, ""]:
    """Standard deviation over the batch of each coordinate of the normalised embeddings, the mean over coordinates.

    0 when all embeddings point the same way (collapse), up to 1/sqrt(width) when they are spread evenly (arXiv:2011.10566, figure 2).
    A measure to watch: no gradient flows through it.
    """
    return normalise(jax.lax.stop_gradient(embeddings)).std(axis=0).mean()
