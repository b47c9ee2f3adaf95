"""BYOL-TracIn and the methods that its paper compares it with (Zeng et al., MICCAI 2023).

Of the pre-training the poster tells the loss and the choice of the extra positive, nothing else. `small` is BYOL's of that name; `paper` is
BYOL's own recipe of 300 epochs of ImageNet (arXiv:2006.07733, appendix; deepmind-research), in both with the unknown settings' defaults.
"""

import dataclasses

from examine_jax.images.augmentation import byol_views
from examine_jax.models.heads import HeadConfig
from examine_jax.models.presets import Architecture
from examine_jax.pretraining.extra_positives import (
    Choice,
    FalseNegatives,
    SameClass,
    SimilarPositive,
    TracInPositive,
)
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.byol_feature_transformation import BYOLFeatureTransformation
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.pretraining.presets.sources import common, imagenet
from examine_jax.pretraining.presets.without_negatives import byol_small
from examine_jax.training.method import Method
from examine_jax.training.optimiser import LARS, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings

_PAPER_EPOCHS, _PAPER_BATCH, _PAPER_IMAGES = (
    300,
    256,
    25_331,
)  # neither epochs nor batch is told; ISIC 2019's images are
_BYOL_HEAD = HeadConfig((4096, 256), hidden_bias=True, output_bias=False)


def byol_study(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Plain BYOL as the study's `paper` preset trains it: LARS .3 at a batch of 256, 10 epochs of warm-up, the average from .99."""
    method = BYOL(
        **common(architecture, byol_views),
        projector=_BYOL_HEAD,
        predictor=_BYOL_HEAD,
        moving_average=MovingAverage(0.99, _PAPER_EPOCHS * (_PAPER_IMAGES // _PAPER_BATCH)),
        pixels=imagenet(architecture),
    )
    settings = PretrainSettings(
        (Phase(epochs=_PAPER_EPOCHS),),
        batch_size=_PAPER_BATCH,
        optimiser=LARS(weight_decay=1.5e-6),
        schedule=WarmupCosine(0.3, warmup=10 / _PAPER_EPOCHS),
    )
    return method, settings


@dataclasses.dataclass(frozen=True)
class ExtraPositivePreset:
    """A preset of BYOL with this choice of the extra positive; None: FT, which has none and transforms the features."""

    choice: Choice | None
    paper: bool

    def __call__(self, architecture: Architecture) -> tuple[Method, PretrainSettings]:
        byol, settings = (byol_study if self.paper else byol_small)(architecture)
        assert isinstance(byol, BYOL)
        if self.choice is None:
            return BYOLFeatureTransformation(byol), settings
        return BYOLTracIn(byol, self.choice), settings


CHOICES: dict[str, Choice | None] = {
    "byol_tracin": TracInPositive(),
    "byol_fs": SimilarPositive(),
    "byol_fnc": FalseNegatives(),
    "byol_ft": None,
    "byol_sup": SameClass(),
}
