"""The pre-norm transformer block that encoders and decoders are stacked from."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from examine_jax._shapes import Array, Float

xavier = nn.initializers.xavier_uniform()


class Attention(nn.Module):
    """Multi-head self-attention with one fused product for queries, keys and values.

    `outputs_from`: only tokens from this index on ask (and come back); all are still looked at. A decoder whose loss reads the masked
    tokens alone saves the rest of its last block so.
    """

    heads: int
    dtype: Any

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "batch tokens width"], outputs_from: int = 0
    ) -> Float[Array, "batch outputs width"]:
        batch, count, width = tokens.shape
        head_width = width // self.heads
        fused = nn.Dense(3 * width, dtype=self.dtype, kernel_init=xavier, name="qkv")(tokens)
        query, key, value = jnp.moveaxis(fused.reshape(batch, count, 3, self.heads, head_width), (2, 3), (0, 2))
        query = query[:, :, outputs_from:] * jnp.asarray(head_width**-0.5, self.dtype)
        logits = jnp.einsum("bhqd,bhkd->bhqk", query, key)
        weights = jax.nn.softmax(logits.astype(jnp.float32), axis=-1).astype(self.dtype)
        mixed = jnp.einsum("bhqk,bhkd->bqhd", weights, value).reshape(batch, count - outputs_from, width)
        return nn.Dense(width, dtype=self.dtype, kernel_init=xavier, name="projection")(mixed)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), with the exact (erf) GELU of facebookresearch/mae."""

    heads: int
    mlp_width: int
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "batch tokens width"], outputs_from: int = 0
    ) -> Float[Array, "batch outputs width"]:
        width = tokens.shape[-1]

        def normalised(name: str, x: Array) -> Array:
            return nn.LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name=name)(x)

        attended = Attention(self.heads, self.dtype, name="attention")(normalised("norm_1", tokens), outputs_from)
        tokens = tokens[:, outputs_from:] + attended
        hidden = nn.Dense(self.mlp_width, dtype=self.dtype, kernel_init=xavier, name="expand")(
            normalised("norm_2", tokens)
        )
        hidden = nn.gelu(hidden, approximate=False)
        return tokens + nn.Dense(width, dtype=self.dtype, kernel_init=xavier, name="contract")(hidden)
