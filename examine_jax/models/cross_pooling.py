"""Attention pooling by a query of its own width, between layer norms, as CoCa has it."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models import layers
from examine_jax.models.transformer import Dense, LayerNorm


@dataclasses.dataclass(frozen=True)
class CrossAttentionPooling:
    """CoCa's pooling head: a learned query looks at all tokens, the class token too.

    Attributes:
        width: of the query and of the features.
        heads: divides `width`.
        epsilon: of its layer norms.

    Source:
        mahmoodlab/CONCH, conch/open_clip_custom/transformer.py, AttentionalPooler; and
        vision_tower.py, VisualModel.forward_no_head (the norm that follows).
    """

    width: int
    heads: int
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for field in ("width", "heads"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"CrossAttentionPooling: {field} must be at least 1, got {getattr(self, field)}"
                )
        if self.width % self.heads:
            raise ValueError(
                f"CrossAttentionPooling: heads {self.heads} must divide width {self.width}"
            )
        if not 0 <= self.epsilon < float("inf"):
            raise ValueError(
                f"CrossAttentionPooling: epsilon must be a number from 0, got {self.epsilon}"
            )

    def features(self, width: int) -> int:
        """The width of the features of a transformer of this width."""
        return self.width

    def check(self, width: int) -> None:
        """It fits a transformer of any width."""

    def leading(self, count: int) -> int:
        """How many of the tokens before the patches it leaves out."""
        return 0

    def module(self, epsilon: float, dtype: Any, name: str) -> "CrossAttentionPooler":
        """The head within a transformer, whose epsilon is not its own."""
        return CrossAttentionPooler(self, dtype, name=name)


class CrossAttentionPooler(nn.Module):
    """norm(attention of norm(query) to norm(tokens))."""

    config: CrossAttentionPooling
    dtype: Any

    @nn.compact
    def __call__(self, tokens: Float[Array, "batch tokens width"]) -> Float[Array, "batch outputs"]:
        width, heads, epsilon = self.config.width, self.config.heads, self.config.epsilon
        probe = self.param("query", nn.initializers.normal(0.02), (width,), jnp.float32)

        def heads_first(x: Float[Array, "rows count width"]) -> Array:
            return x.reshape(*x.shape[:2], heads, width // heads).transpose(0, 2, 1, 3)

        probe = LayerNorm(epsilon, name="query_norm")(probe[None, None])
        query = Dense(width, self.dtype, name="query_projection")(probe)
        tokens = LayerNorm(epsilon, name="tokens_norm")(tokens)
        keys_values = Dense(2 * width, self.dtype, name="keys_values")(tokens)
        pooled = layers.attend(
            jnp.broadcast_to(heads_first(query), (len(tokens), heads, 1, width // heads)),
            heads_first(keys_values[..., :width]),
            heads_first(keys_values[..., width:]),
        ).reshape(len(tokens), width)
        pooled = Dense(width, self.dtype, name="projection")(pooled).astype(jnp.float32)
        return LayerNorm(epsilon, name="norm")(pooled)
