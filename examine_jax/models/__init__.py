"""Encoders and decoders: frozen configurations, Flax Linen modules, presets."""

from examine_jax.models.apply import apply, init_network, run_network
from examine_jax.models.flax_encoder import FlaxEncoder
from examine_jax.models.heads import HeadConfig
from examine_jax.models.masked_autoencoder import DecoderConfig, MaskedAutoencoder
from examine_jax.models.patches import patchify, unpatchify
from examine_jax.models.positions import sincos_positions
from examine_jax.models.presets import PRESETS, Architecture, architecture
from examine_jax.models.resnet import ResNet, ResNetConfig
from examine_jax.models.vit import VisionTransformer, ViTConfig

__all__ = [
    "PRESETS",
    "Architecture",
    "DecoderConfig",
    "FlaxEncoder",
    "HeadConfig",
    "MaskedAutoencoder",
    "ResNet",
    "ResNetConfig",
    "ViTConfig",
    "VisionTransformer",
    "apply",
    "architecture",
    "init_network",
    "patchify",
    "run_network",
    "sincos_positions",
    "unpatchify",
]
