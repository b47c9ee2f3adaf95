"""A small masked autoencoder of colour images, which paints pixels normalised by their patch."""

from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.pretraining import MAE, PixelScale

METHOD = MAE(
    ViTConfig(image_size=16, patch_size=4, channels=3, width=16, depth=1, heads=2, mlp_width=32),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=16),
    norm_pix=True,
    pixels=PixelScale((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)),
)
