"""Shared by several methods' presets: the seed papers' training, settings for a small machine."""

from collections.abc import Callable
from typing import Any

from examine_jax.images.augmentation import (
    ColorJitter,
    Compose,
    Dihedral,
    GaussianBlur,
    RandomResizedCrop,
    TwoViews,
)
from examine_jax.models.architectures import Architecture
from examine_jax.models.heads import HeadConfig
from examine_jax.models.vit import ViTConfig
from examine_jax.pretraining.pixels import IMAGENET, PixelScale
from examine_jax.training.optimiser import SGD, AdamW, Constant, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings


def small_views(size: int) -> TwoViews:
    """Two views of a tile of tissue; no paper's numbers.

    Crops of 35 % to 100 % of the area: both views show the same kind of tissue. The eight
    symmetries of the square: tissue has no upright position. Mild colour jitter and no grey: stain
    is a nuisance between slides and a cue within one. Some blur.
    """
    view = Compose(
        (
            RandomResizedCrop(size, (0.35, 1.0), interpolation="bilinear"),
            Dihedral(),
            ColorJitter(0.3, 0.3, 0.2, 0.04, probability=0.8),
            GaussianBlur((0.1, 1.0), probability=0.2),
        )
    )
    return TwoViews(view, view)


def common(architecture: Architecture, views: Callable[[int], TwoViews]) -> dict[str, Any]:
    """A two-view method's arguments from an architecture: its encoder, and views of its size."""
    return {"encoder": architecture.encoder, "augmentation": views(architecture.encoder.image_size)}


def imagenet(architecture: Architecture) -> PixelScale:
    """ImageNet's statistics, as in most codes.

    For other than three channels, mean and deviation of one half.
    """
    return IMAGENET if architecture.encoder.channels == 3 else PixelScale((0.5,), (0.5,))


def plain_transformer(method: str, architecture: Architecture) -> Architecture:
    """The architecture, if a method that decodes tokens trains all of its encoder.

    Raises:
        ValueError: the encoder is no vision transformer, or has a part that such a method does not
            train or cannot mask; the message names it.
    """
    encoder = architecture.encoder
    kind = type(encoder).__name__.removesuffix("Config")
    if not isinstance(encoder, ViTConfig) or architecture.decoder is None:
        raise ValueError(
            f"{method} works on a vision transformer's patches, and {kind} has none; choose a ViT "
            "architecture, or another method (simclr, byol, ...)"
        )
    for part in ("relative_bias", "shared_relative_bias"):
        if getattr(encoder.parts, part):
            raise ValueError(
                f"{method} leaves patches out, and this transformer's {part} needs them all; "
                "choose another method (simclr, byol, ...)"
            )
    for part in ("attention_pooling", "pooled_norm", "projection"):
        if getattr(encoder.parts, part):
            raise ValueError(
                f"{method} trains tokens, and this transformer makes its features of them by its "
                f"{part}, which would stay untrained; choose another method (simclr, byol, ...)"
            )
    return architecture


# EXAMINE, section 4.1. It gives no learning rate; this is facebookresearch/mae's: 1.5e-4 at a batch
# of
# 256, with its warm-up over 5 % of the steps.
EXAMINE = PretrainSettings((Phase(epochs=200),), batch_size=256)
EXAMINE_STEPS = 200 * (160_000 // 256)  # its pretraining set holds 160,000 images
# Low-resource, section 3.1 and its code: torch.optim.SGD's defaults, no momentum, decay or
# schedule.
LOW_RESOURCE = PretrainSettings(
    (Phase(epochs=250),),
    batch_size=64,
    optimiser=SGD(momentum=0.0, weight_decay=0.0),
    schedule=Constant(0.01),
)

LOW_RESOURCE_HEAD = HeadConfig(
    (512, 128), hidden_bias=True
)  # 2048-512-BN-ReLU-128; torch's layers have biases

# Few steps, so a larger learning rate than facebookresearch/mae's for 800 epochs.
RECONSTRUCTION_SMALL = PretrainSettings(
    (Phase(steps=500),), batch_size=64, schedule=WarmupCosine(learning_rate=4e-3)
)
# A peak of 1e-3, as above: steps teach more than images do, so a batch is a quarter.
RECONSTRUCTION_QUICK = PretrainSettings(
    (Phase(steps=700),), batch_size=16, schedule=WarmupCosine(learning_rate=1.6e-2)
)
# AdamW, because LARS and SGD train transformers badly and suit batches of thousands. The rate is
# the
# better one of 1e-3 and 4e-3 for SimCLR after 140 steps on histology tiles (one seed; kNN accuracy
# .86
# against .85, noise separation .73 against .30).
SMALL = PretrainSettings(
    (Phase(steps=1000),),
    batch_size=64,
    optimiser=AdamW(weight_decay=0.05),
    schedule=WarmupCosine(1e-3, warmup=0.1),
)
SMALL_PIXELS = PixelScale((0.5,), (0.25,))
