"""Networks: frozen configurations, their Flax Linen modules, and architectures by name."""

from examine_jax.models.architectures import ARCHITECTURES, Architecture, architecture
from examine_jax.models.attention_pooling import AttentionPooling
from examine_jax.models.convnext import ConvNeXt, ConvNeXtConfig
from examine_jax.models.cross_pooling import CrossAttentionPooling
from examine_jax.models.dense_autoencoder import DenseAutoencoder
from examine_jax.models.densenet import DenseNet, DenseNetConfig
from examine_jax.models.efficientnet import EfficientNet, EfficientNetConfig
from examine_jax.models.flax_encoder import FlaxEncoder
from examine_jax.models.forward import apply, init_network, run_network
from examine_jax.models.heads import HeadConfig
from examine_jax.models.masked_autoencoder import DecoderConfig, MaskedAutoencoder
from examine_jax.models.patches import patchify, unpatchify
from examine_jax.models.positions import sincos_positions
from examine_jax.models.resnet import ResNet, ResNetConfig
from examine_jax.models.resnet_variant import ResNetVariant
from examine_jax.models.rotary_positions import GridRotaryPositions, RotaryPositions
from examine_jax.models.sam import SAMConfig, SAMEncoder
from examine_jax.models.swin import Swin, SwinConfig
from examine_jax.models.vit import VisionTransformer, ViTConfig, ViTExtras

# Configurations that a saved encoder's config.json may name. A new network adds its own here.
CONFIGURATIONS: tuple[type, ...] = (
    ViTConfig,
    ViTExtras,
    AttentionPooling,
    CrossAttentionPooling,
    RotaryPositions,
    GridRotaryPositions,
    ResNetConfig,
    ResNetVariant,
    DenseNetConfig,
    ConvNeXtConfig,
    EfficientNetConfig,
    SwinConfig,
    SAMConfig,
    DecoderConfig,
    HeadConfig,
)

__all__ = [
    "ARCHITECTURES",
    "CONFIGURATIONS",
    "Architecture",
    "AttentionPooling",
    "ConvNeXt",
    "ConvNeXtConfig",
    "CrossAttentionPooling",
    "DecoderConfig",
    "DenseAutoencoder",
    "DenseNet",
    "DenseNetConfig",
    "EfficientNet",
    "EfficientNetConfig",
    "FlaxEncoder",
    "GridRotaryPositions",
    "HeadConfig",
    "MaskedAutoencoder",
    "ResNet",
    "ResNetConfig",
    "ResNetVariant",
    "RotaryPositions",
    "SAMConfig",
    "SAMEncoder",
    "Swin",
    "SwinConfig",
    "ViTConfig",
    "ViTExtras",
    "VisionTransformer",
    "apply",
    "architecture",
    "init_network",
    "patchify",
    "run_network",
    "sincos_positions",
    "unpatchify",
]
