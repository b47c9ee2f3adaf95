"""Augmentation on the device: frozen dataclasses called with a key and a batch, made for use inside a jitted step."""

from examine_jax.images.augmentation.compose import Augmentation, Compose, TwoViews
from examine_jax.images.augmentation.crop import RandomResizedCrop, resized_crop
from examine_jax.images.augmentation.dihedral import Dihedral, Flip, QuarterTurns

__all__ = [
    "Augmentation",
    "Compose",
    "Dihedral",
    "Flip",
    "QuarterTurns",
    "RandomResizedCrop",
    "TwoViews",
    "resized_crop",
]
