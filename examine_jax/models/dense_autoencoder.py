"""An autoencoder of patches: a vision transformer without masking, and a decoder."""

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.patches import patchify
from examine_jax.models.positions import sincos_positions
from examine_jax.models.transformer import Dense, LayerNorm, block_type
from examine_jax.models.vit import VisionTransformer, ViTConfig


class DenseDecoder(nn.Module):
    """Predicts the pixels of every patch: MaskedDecoder without the mask token."""

    config: DecoderConfig
    encoder: ViTConfig

    @nn.compact
    def __call__(
        self, encoded: Float[Array, "batch encoded width"]
    ) -> Float[Array, "batch tokens values"]:
        config, dtype = self.config, jnp.dtype(self.encoder.dtype)
        leading = self.encoder.leading
        positions = sincos_positions(
            self.encoder.image_size // self.encoder.patch_size, config.width
        )
        tokens = Dense(config.width, dtype, name="embedding")(encoded)
        tokens = tokens + jnp.pad(
            jnp.asarray(positions, dtype), ((leading, 0), (0, 0))
        )  # the class token has position zero
        for i in range(config.depth):
            first_output = leading if i == config.depth - 1 else 0
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


class DenseAutoencoder(nn.Module):
    """Encoder and decoder, with parameters under "encoder" and "decoder"."""

    encoder_config: ViTConfig
    decoder_config: DecoderConfig

    def setup(self) -> None:
        self.encoder = VisionTransformer(self.encoder_config)
        self.decoder = DenseDecoder(self.decoder_config, self.encoder_config)

    def __call__(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch tokens values"]:
        """The predicted pixels of all patches as in `patchify`, float32, in the images' units."""
        encoded = self.encoder.encode(patchify(images, self.encoder_config.patch_size))
        return self.decoder(encoded).astype(jnp.float32)
