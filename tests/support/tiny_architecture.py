"""An encoder that compiles in a second: `--architecture=tests.support.tiny_architecture:tiny`."""

from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.models.architectures import Architecture

TINY = "tests.support.tiny_architecture:tiny"


def tiny() -> Architecture:
    """One block of width 16 on 16 x 16 pixels."""
    encoder = ViTConfig(
        image_size=16, patch_size=8, channels=3, width=16, depth=1, heads=2, mlp_width=32
    )
    return Architecture(encoder, DecoderConfig(width=16, depth=1, heads=2, mlp_width=32))
