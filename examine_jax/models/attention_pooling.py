"""Multi-head attention pooling: one learned query looks at the patch tokens."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models import layers
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.transformer import Dense, LayerNorm


@dataclasses.dataclass(frozen=True)
class AttentionPooling:
    """SigLIP's pooling head.

    Attributes:
        heads: divides the transformer's width.
        mlp_width: of the head's MLP.
        mlp: one of MLP_FORMS.

    Source:
        google-research/big_vision, models/vit.py, MAPHead.
    """

    heads: int
    mlp_width: int
    mlp: str = "gelu"

    def __post_init__(self) -> None:
        for field in ("heads", "mlp_width"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"AttentionPooling: {field} must be at least 1, got {getattr(self, field)}"
                )
        if self.mlp not in MLP_FORMS:
            raise ValueError(
                f"AttentionPooling: mlp must be one of {', '.join(MLP_FORMS)}, got {self.mlp!r}"
            )

    def features(self, width: int) -> int:
        """The width of the features of a transformer of this width."""
        return width

    def check(self, width: int) -> None:
        """Raises a ValueError if the head does not fit a transformer of this width."""
        if width % self.heads:
            raise ValueError(
                f"ViTConfig: the attention pooling's heads ({self.heads}) must divide width {width}"
            )

    def leading(self, count: int) -> int:
        """How many of the tokens before the patches it leaves out."""
        return count

    def module(self, epsilon: float, dtype: Any, name: str) -> "AttentionPooler":
        """The head within a transformer whose layer norms have this epsilon."""
        return AttentionPooler(self, epsilon, dtype, name=name)


class AttentionPooler(nn.Module):
    """y + mlp(norm(y)), where y = attention of the learned query to the tokens."""

    config: AttentionPooling
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, tokens: Float[Array, "batch tokens width"]) -> Float[Array, "batch width"]:
        batch, _, width = tokens.shape
        form, heads = MLP_FORMS[self.config.mlp], self.config.heads
        probe = self.param("query", nn.initializers.normal(0.02), (width,), jnp.float32)

        def heads_first(x: Float[Array, "rows count width"]) -> Array:
            return x.reshape(*x.shape[:2], heads, width // heads).transpose(0, 2, 1, 3)

        query = Dense(width, self.dtype, name="query_projection")(probe[None, None])
        keys_values = Dense(2 * width, self.dtype, name="keys_values")(tokens)
        pooled = layers.attend(
            jnp.broadcast_to(heads_first(query), (batch, heads, 1, width // heads)),
            heads_first(keys_values[..., :width]),
            heads_first(keys_values[..., width:]),
        ).reshape(batch, width)
        pooled = Dense(width, self.dtype, name="projection")(pooled).astype(jnp.float32)
        hidden = Dense((2 if form.gated else 1) * self.config.mlp_width, self.dtype, name="expand")(
            LayerNorm(self.epsilon, name="norm")(pooled)
        )
        return pooled + Dense(width, self.dtype, name="contract")(form(hidden))
