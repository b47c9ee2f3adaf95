"""What a method may consist of, as config.json names it. A new setting is added here, and then can be read back."""

from examine_jax.images.augmentation import AUGMENTATIONS
from examine_jax.models import DecoderConfig, ResNetConfig, ViTConfig
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining.extra_positives import FalseNegatives, SameClass, SimilarPositive, TracInPositive
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.pretraining.pixels import PixelScale

SETTINGS: tuple[type, ...] = (
    *(ViTConfig, ResNetConfig, DecoderConfig, HeadConfig, MovingAverage, PixelScale),
    *(TracInPositive, SimilarPositive, FalseNegatives, SameClass),
    *AUGMENTATIONS,
)
