"""The masked autoencoder: an encoder of visible patches, and a narrower decoder of all patches.

Source:
    He et al., arXiv:2111.06377.
"""

import dataclasses

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float, Int
from examine_jax.models.positions import sincos_positions
from examine_jax.models.transformer import Dense, LayerNorm, block_type
from examine_jax.models.vit import VisionTransformer, ViTConfig


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """A decoder's transformer.

    Attributes:
        width, depth, heads, mlp_width: as in `ViTConfig`. heads and 4 divide width.
    """

    width: int
    depth: int
    heads: int
    mlp_width: int

    def __post_init__(self) -> None:
        for field in ("width", "depth", "heads", "mlp_width"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"DecoderConfig: {field} must be at least 1, got {getattr(self, field)}"
                )
        if self.width % self.heads or self.width % 4:
            raise ValueError(
                f"DecoderConfig: width {self.width} must be a multiple of 4 and of heads "
                f"({self.heads})"
            )


class MaskedDecoder(nn.Module):
    """Predicts the pixels of the masked patches.

    Tokens stay in the shuffled order, visible patches first: once positions are added, their order
    does not matter to a transformer. So nothing is put back in place, and the backward pass needs
    no scatter. The last block computes the masked tokens alone, because the loss uses no others.
    """

    config: DecoderConfig
    encoder: ViTConfig

    @nn.compact
    def __call__(
        self, encoded: Float[Array, "batch encoded width"], order: Int[Array, "batch tokens"]
    ) -> Float[Array, "batch masked values"]:
        config, dtype = self.config, jnp.dtype(self.encoder.dtype)
        leading = self.encoder.leading
        batch, count = order.shape
        masked = count - (encoded.shape[1] - leading)
        positions = sincos_positions(
            self.encoder.image_size // self.encoder.patch_size, config.width
        )
        tokens = Dense(config.width, dtype, name="embedding")(encoded)
        mask_token = self.param(
            "mask_token", nn.initializers.normal(0.02), (config.width,), jnp.float32
        )
        fill = jnp.broadcast_to(mask_token.astype(dtype), (batch, masked, config.width))
        placed = jnp.asarray(positions, dtype)[order]
        if leading:
            # The class token has position zero.
            placed = jnp.pad(placed, ((0, 0), (leading, 0), (0, 0)))
        tokens = jnp.concatenate([tokens, fill], axis=1) + placed
        for i in range(config.depth):
            first_output = tokens.shape[1] - masked if i == config.depth - 1 else 0
            block = block_type(self.encoder.remat)(
                config.heads,
                config.mlp_width,
                self.encoder.layer_norm_epsilon,
                dtype,
                name=f"block_{i}",
            )
            tokens = block(tokens, first_output)
        tokens = LayerNorm(self.encoder.layer_norm_epsilon, name="norm")(tokens)
        return Dense(self.encoder.patch_values, dtype, name="pixels")(tokens)


class MaskedAutoencoder(nn.Module):
    """Encoder and decoder, with parameters under "encoder" and "decoder"."""

    encoder_config: ViTConfig
    decoder_config: DecoderConfig

    def setup(self) -> None:
        self.encoder = VisionTransformer(self.encoder_config)
        self.decoder = MaskedDecoder(self.decoder_config, self.encoder_config)

    def __call__(
        self, visible: Float[Array, "batch visible values"], order: Int[Array, "batch tokens"]
    ) -> Float[Array, "batch masked values"]:
        """Predicts the masked patches from the visible ones.

        Args:
            visible: the patches at order[:, :visible], flattened.
            order: a permutation of the patches.

        Returns:
            The pixels of the patches at order[:, visible:], float32, in the target's units.
        """
        encoded = self.encoder.encode(visible, order[:, : visible.shape[1]])
        return self.decoder(encoded, order).astype(jnp.float32)
