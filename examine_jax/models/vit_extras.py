"""Parts of a vision transformer that only some encoders have."""

import dataclasses

from examine_jax.models.attention_pooling import AttentionPooling
from examine_jax.models.cross_pooling import CrossAttentionPooling
from examine_jax.models.rotary_positions import GridRotaryPositions, RotaryPositions


@dataclasses.dataclass(frozen=True)
class ViTExtras:
    """Parts of a vision transformer that the field's encoders have and facebookresearch/mae lacks.

    Attributes:
        registers: learned tokens between the class token and the patches; features never hold them.
        embedding_norm: whether a layer norm stands before the first block (CLIP).
        query_key_norm: whether each head's queries and keys pass a layer norm.
        norm_after: whether a block's norms stand after its attention and MLP, not before.
        attention_norm: whether a layer norm stands between the heads and their projection.
        mlp_norm: whether a layer norm stands before an MLP's second dense layer.
        relative_bias: whether each block adds a table of its own to the attention's logits, by how
            far apart query and key are (BEiT).
        shared_relative_bias: whether all blocks add one table together.
        rotary: with positions="rotary" or "learned": queries and keys are turned by these.
        attention_pooling: with pooling="attention": the pooling head.
        pooled_norm: whether a layer norm follows the pooling (timm's fc_norm).
        projection: width of a linear map after the pooling; None: there is none.
        projection_bias: whether that map has a bias.
        wide: whether only the factors of the blocks' products are rounded where the dtype is
            bfloat16: what they add up to, the tokens between the branches, norms, activations and
            logits are float32, and so is what stands before and after the blocks.
    """

    registers: int = 0
    embedding_norm: bool = False
    query_key_norm: bool = False
    norm_after: bool = False
    attention_norm: bool = False
    mlp_norm: bool = False
    relative_bias: bool = False
    shared_relative_bias: bool = False
    rotary: RotaryPositions | GridRotaryPositions | None = None
    attention_pooling: AttentionPooling | CrossAttentionPooling | None = None
    pooled_norm: bool = False
    projection: int | None = None
    projection_bias: bool = False
    wide: bool = False

    def __post_init__(self) -> None:
        if self.registers < 0:
            raise ValueError(f"ViTExtras: registers must be at least 0, got {self.registers}")
        if self.projection is not None and self.projection < 1:
            raise ValueError(f"ViTExtras: projection must be at least 1, got {self.projection}")
        if self.projection_bias and self.projection is None:
            raise ValueError("ViTExtras: projection_bias needs a projection")
