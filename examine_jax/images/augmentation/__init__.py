"""Augmentation on the device: frozen dataclasses called with a key and a batch inside a step."""

from examine_jax.images.augmentation.blur import GaussianBlur
from examine_jax.images.augmentation.colour import ColorJitter, RandomGrayscale, Solarize
from examine_jax.images.augmentation.compose import Augmentation, Compose, TwoViews
from examine_jax.images.augmentation.crop import RandomResizedCrop
from examine_jax.images.augmentation.noise import GaussianNoise
from examine_jax.images.augmentation.recipes import (
    byol_views,
    low_resource_released_views,
    mae_crop,
    simclr_views,
    simsiam_views,
    vicreg_views,
)
from examine_jax.images.augmentation.relative_noise import RelativeNoise
from examine_jax.images.augmentation.symmetries import Dihedral, Flip, QuarterTurns

# The classes that a saved configuration may name. A new augmentation is added here.
AUGMENTATIONS = (
    ColorJitter,
    Compose,
    Dihedral,
    Flip,
    GaussianBlur,
    GaussianNoise,
    QuarterTurns,
    RandomGrayscale,
    RandomResizedCrop,
    RelativeNoise,
    Solarize,
    TwoViews,
)

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "ColorJitter",
    "Compose",
    "Dihedral",
    "Flip",
    "GaussianBlur",
    "GaussianNoise",
    "QuarterTurns",
    "RandomGrayscale",
    "RandomResizedCrop",
    "RelativeNoise",
    "Solarize",
    "TwoViews",
    "byol_views",
    "low_resource_released_views",
    "mae_crop",
    "simclr_views",
    "simsiam_views",
    "vicreg_views",
]
