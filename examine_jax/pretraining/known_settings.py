"""The classes that an encoder's config.json may name. A new method or setting is added here, and then can be read back."""

from examine_jax.images.augmentation import AUGMENTATIONS
from examine_jax.models import DecoderConfig, ResNetConfig, ViTConfig
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining.autoencoder import Autoencoder
from examine_jax.pretraining.byol import BYOL
from examine_jax.pretraining.byol_feature_transformation import BYOLFeatureTransformation
from examine_jax.pretraining.byol_tracin import BYOLTracIn
from examine_jax.pretraining.dcl import DCL
from examine_jax.pretraining.extra_positives import FalseNegatives, SameClass, SimilarPositive, TracInPositive
from examine_jax.pretraining.imported import ImportedEncoder
from examine_jax.pretraining.mae import MAE
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.simclr import SimCLR
from examine_jax.pretraining.simsiam import SimSiam
from examine_jax.pretraining.vicreg import VICReg

METHODS = (MAE, Autoencoder, SimCLR, DCL, BYOL, SimSiam, VICReg, BYOLTracIn, BYOLFeatureTransformation, ImportedEncoder)
KNOWN: tuple[type, ...] = (
    *METHODS,
    *(ViTConfig, ResNetConfig, DecoderConfig, HeadConfig, MovingAverage, PixelScale),
    *(TracInPositive, SimilarPositive, FalseNegatives, SameClass),
    *AUGMENTATIONS,
)
