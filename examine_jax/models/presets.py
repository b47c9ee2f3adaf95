"""Architectures by name."""

import dataclasses

from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.vit import ViTConfig


@dataclasses.dataclass(frozen=True)
class Architecture:
    """An encoder, and the decoder that the masked autoencoder puts behind it; None: it has none, for its encoder is no transformer."""

    encoder: ViTConfig | ResNetConfig
    decoder: DecoderConfig | None


def examine_paper() -> Architecture:
    """The EXAMINE paper's network, inferred: the paper says 72 px and patch 8 and publishes neither its ViT nor its code.

    Width 1024, depth 6, 8 heads, MLP 2048, decoder 512 x 6, mean-pooled tokens, no class token, no layer norm at the encoder's end: the
    sizes and habits of the vit-pytorch implementation whose wording the paper echoes, as it was in 2022, with the 1024-wide features of
    the group's sibling paper.
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
    """ViT-S with patches of 8 pixels at 72 px, facebookresearch/mae's conventions and decoder (512 x 8, 16 heads)."""
    encoder = ViTConfig(image_size=72, patch_size=8, channels=3, width=384, depth=12, heads=6, mlp_width=1536)
    return Architecture(encoder, DecoderConfig(width=512, depth=8, heads=16, mlp_width=2048))


def vit_b8() -> Architecture:
    """ViT-B with patches of 8 pixels at 72 px, facebookresearch/mae's conventions and decoder (512 x 8, 16 heads)."""
    encoder = ViTConfig(image_size=72, patch_size=8, channels=3, width=768, depth=12, heads=12, mlp_width=3072)
    return Architecture(encoder, DecoderConfig(width=512, depth=8, heads=16, mlp_width=2048))


def small() -> Architecture:
    """For a CPU: two cores train it on some 350 images a second.

    No layer norm at the encoder's end: one would give all tokens one length, which leaves the top singular value less to tell images
    apart by. (Chosen on one seed of histology tiles; z-scored features separate noise about as well with one.)
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


def resnet18() -> Architecture:
    """ResNet-18 at 72 px with the stem for small images: 512 features."""
    return Architecture(ResNetConfig(image_size=72, channels=3, stem="small_image"), None)


def resnet18_imagenet_stem() -> Architecture:
    """ResNet-18 at 72 px as torchvision has it: a 16th of the work of `resnet18`, on maps of a fourth of their sides; for a CPU."""
    return Architecture(ResNetConfig(image_size=72, channels=3), None)


def resnet18_narrow() -> Architecture:
    """`resnet18_imagenet_stem` of half the width: a third of its time, 256 features; where minutes of a CPU are all there is."""
    return Architecture(ResNetConfig(image_size=72, channels=3, width=32), None)


def resnet50() -> Architecture:
    """ResNet-50 (v1.5) at 224 px, as torchvision and the two-view methods' papers have it: 2048 features."""
    return Architecture(ResNetConfig(image_size=224, channels=3, block="bottleneck", depths=(3, 4, 6, 3)), None)


PRESETS = {
    "small": small,
    "examine_paper": examine_paper,
    "vit_s8": vit_s8,
    "vit_b8": vit_b8,
    "resnet18": resnet18,
    "resnet18_imagenet_stem": resnet18_imagenet_stem,
    "resnet18_narrow": resnet18_narrow,
    "resnet50": resnet50,
}


def architecture(name: str, *, image_size: int | None = None, channels: int | None = None) -> Architecture:
    """The preset of that name, for another image size or number of channels where given.

    Raises:
        ValueError: no such preset (says which there are), or an image size that its patches do not divide.
    """
    if name not in PRESETS:
        raise ValueError(f"no architecture is named {name!r}; there are: {', '.join(PRESETS)}")
    preset = PRESETS[name]()
    encoder = preset.encoder
    if image_size is not None:
        encoder = dataclasses.replace(encoder, image_size=image_size)
    if channels is not None:
        encoder = dataclasses.replace(encoder, channels=channels)
    return dataclasses.replace(preset, encoder=encoder)
