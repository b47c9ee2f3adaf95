"""Architectures by name: an encoder's configuration and, for a transformer, a decoder's."""

import dataclasses
from collections.abc import Callable
from typing import Any

from examine_jax.common.registry import lookup
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.vit import ViTConfig


@dataclasses.dataclass(frozen=True)
class Architecture:
    """An encoder, and the decoder that autoencoders train with it.

    Attributes:
        encoder: the encoder's configuration: ViTConfig, ResNetConfig, FlaxEncoder or another one.
        decoder: the decoder's; None for encoders other than transformers.
    """

    encoder: Any
    decoder: DecoderConfig | None = None


def small() -> Architecture:
    """A small transformer for CPUs: two cores train it on about 350 images a second.

    It has no final layer norm. A layer norm makes all tokens equally long, so that the top singular
    value separates images less. (Chosen on one seed of histology tiles; z-scored features separate
    noise about as well with one.)
    """
    encoder = ViTConfig(
        image_size=72,
        patch_size=8,
        channels=3,
        width=192,
        depth=4,
        heads=6,
        mlp_width=768,
        class_token=False,
        final_norm=False,
    )
    return Architecture(encoder, DecoderConfig(width=96, depth=2, heads=3, mlp_width=384))


def examine_paper() -> Architecture:
    """The EXAMINE paper's network, inferred: the paper gives 72 px and patch 8, and no more.

    Width 1024, depth 6, 8 heads, MLP 2048, decoder 512 x 6, mean-pooled tokens, no class token, no
    final layer norm: the defaults of vit-pytorch in 2022, whose wording the paper follows, with the
    1024 features of the group's sibling paper.
    """
    encoder = ViTConfig(
        image_size=72,
        patch_size=8,
        channels=3,
        width=1024,
        depth=6,
        heads=8,
        mlp_width=2048,
        class_token=False,
        final_norm=False,
    )
    return Architecture(encoder, DecoderConfig(width=512, depth=6, heads=8, mlp_width=2048))


def vit_s8() -> Architecture:
    """ViT-S with 8-pixel patches at 72 px; facebookresearch/mae's decoder (512 x 8, 16 heads)."""
    encoder = ViTConfig(
        image_size=72, patch_size=8, channels=3, width=384, depth=12, heads=6, mlp_width=1536
    )
    return Architecture(encoder, DecoderConfig(width=512, depth=8, heads=16, mlp_width=2048))


def vit_b8() -> Architecture:
    """ViT-B with 8-pixel patches at 72 px; facebookresearch/mae's decoder (512 x 8, 16 heads)."""
    encoder = ViTConfig(
        image_size=72, patch_size=8, channels=3, width=768, depth=12, heads=12, mlp_width=3072
    )
    return Architecture(encoder, DecoderConfig(width=512, depth=8, heads=16, mlp_width=2048))


def resnet18() -> Architecture:
    """ResNet-18 at 72 px with the stem for small images: 512 features."""
    return Architecture(ResNetConfig(image_size=72, channels=3, stem="small_image"))


def resnet18_imagenet_stem() -> Architecture:
    """torchvision's ResNet-18 at 72 px, for CPUs: a 16th of `resnet18`'s work."""
    return Architecture(ResNetConfig(image_size=72, channels=3))


def resnet18_narrow() -> Architecture:
    """`resnet18_imagenet_stem` at half the width: a third of its time, 256 features."""
    return Architecture(ResNetConfig(image_size=72, channels=3, width=32))


def resnet50() -> Architecture:
    """ResNet-50 (v1.5) at 224 px, as in the two-view methods' papers: 2048 features."""
    return Architecture(
        ResNetConfig(image_size=224, channels=3, block="bottleneck", depths=(3, 4, 6, 3))
    )


# A new architecture is a function above and a line here.
ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "small": small,
    "examine_paper": examine_paper,
    "vit_s8": vit_s8,
    "vit_b8": vit_b8,
    "resnet18": resnet18,
    "resnet18_imagenet_stem": resnet18_imagenet_stem,
    "resnet18_narrow": resnet18_narrow,
    "resnet50": resnet50,
}


def architecture(
    name: str, *, image_size: int | None = None, channels: int | None = None
) -> Architecture:
    """The architecture of a name, for another image size or number of channels where given.

    Args:
        name: one of `ARCHITECTURES`, or `package.module:function` of another package: a function
            that returns an `Architecture`.
        image_size: side of the input in pixels; None: the architecture's own.
        channels: channels of the input; None: the architecture's own.

    Returns:
        The architecture.

    Raises:
        ValueError: the name is unknown, or the patches do not divide the image size.
    """
    known = lookup(name, ARCHITECTURES, "architecture")()
    encoder = known.encoder
    if image_size is not None:
        encoder = dataclasses.replace(encoder, image_size=image_size)
    if channels is not None:
        encoder = dataclasses.replace(encoder, channels=channels)
    return dataclasses.replace(known, encoder=encoder)
