"""What the presets of several methods share: how the seed papers train, and what suits a small machine."""

from collections.abc import Callable
from typing import Any

from examine_jax.images.augmentation import ColorJitter, Compose, Dihedral, GaussianBlur, RandomResizedCrop, TwoViews
from examine_jax.models.presets import Architecture
from examine_jax.pretraining.pixels import IMAGENET, PixelScale
from examine_jax.training.optimiser import SGD, AdamW, Constant, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings


def small_views(size: int) -> TwoViews:
    """Two views of a tile of tissue; no paper's numbers.

    Crops of 35 % to 100 % of the area, so that both views show the same kind of tissue; the eight symmetries of the square, as tissue has
    no up; a mild colour jitter and no grey: stain is a nuisance between slides and a cue within one; some blur.
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
    """The arguments that every method of two views takes from an architecture: its encoder, and views of its size."""
    return {"encoder": architecture.encoder, "augmentation": views(architecture.encoder.image_size)}


def imagenet(architecture: Architecture) -> PixelScale:
    """ImageNet's statistics, as most codes normalise; images of other than three channels by mean and deviation of one half."""
    return IMAGENET if architecture.encoder.channels == 3 else PixelScale((0.5,), (0.5,))


# EXAMINE, section 4.1. It gives no learning rate: facebookresearch/mae's 1.5e-4 at a batch of 256, with its warm-up over 5 % of the steps.
EXAMINE = PretrainSettings((Phase(epochs=200),), batch_size=256)
EXAMINE_STEPS = 200 * (160_000 // 256)  # its pretraining set holds 160,000 images
# Low-resource, section 3.1, and its code: torch.optim.SGD's defaults, neither momentum nor decay nor schedule.
LOW_RESOURCE = PretrainSettings(
    (Phase(epochs=250),), batch_size=64, optimiser=SGD(momentum=0.0, weight_decay=0.0), schedule=Constant(0.01)
)


# For a first look: few steps, so a larger learning rate than facebookresearch/mae's for 800 epochs.
RECONSTRUCTION_SMALL = PretrainSettings((Phase(steps=500),), batch_size=64, schedule=WarmupCosine(learning_rate=4e-3))
# AdamW in place of LARS and SGD, which transformers do badly with and which were made for batches of thousands. The rate is SimCLR's better
# one of 1e-3 and 4e-3 after 140 steps on histology tiles (one seed; nearest neighbours .86 against .85, noise told apart .73 against .30).
SMALL = PretrainSettings(
    (Phase(steps=1000),),
    batch_size=64,
    optimiser=AdamW(weight_decay=0.05),
    schedule=WarmupCosine(1e-3, warmup=0.1),
)
SMALL_PIXELS = PixelScale((0.5,), (0.25,))
