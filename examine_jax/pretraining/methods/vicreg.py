"""VICReg (Bardes et al., Variance-Invariance-Covariance Regularization, arXiv:2105.04906)."""

import dataclasses

from examine_jax.common.shapes import Array, Float, Key, PyTree
from examine_jax.images.augmentation import TwoViews, low_resource_released_views, vicreg_views
from examine_jax.models.architectures import Architecture
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import covariance_penalty, invariance, variance_hinge
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.presets_shared import (
    LOW_RESOURCE,
    SMALL,
    SMALL_PIXELS,
    common,
    imagenet,
    small_views,
)
from examine_jax.training.method import Batch, EncoderConfig, Method
from examine_jax.training.optimiser import LARS, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class VICReg(two_views.TwoViewMethod):
    """Brings an image's views together while embedding coordinates keep varying, uncorrelated.

    Attributes:
        encoder: the encoder's configuration.
        augmentation: makes the two views, of the encoder's image size.
        projector: the paper's wide expander; its outputs are not normalised.
        invariance_weight, variance_weight, covariance_weight: of the three terms. As in the
            reference code, the variance term is the mean over the two views, the covariance term
            their sum.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.

    Batch norms use each view's own statistics, as the reference code.
    """

    encoder: EncoderConfig
    augmentation: TwoViews
    projector: HeadConfig
    invariance_weight: float = 25.0
    variance_weight: float = 25.0
    covariance_weight: float = 1.0
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)

    def __post_init__(self) -> None:
        for field in ("invariance_weight", "variance_weight", "covariance_weight"):
            if not getattr(self, field) >= 0:
                raise ValueError(
                    f"VICReg: {field} must not be negative, got {getattr(self, field)}"
                )
        self.pixels.check(self.encoder.channels)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "projector"}, state {"batch_stats"}."""
        params, batch_stats = self._chain.init(key)
        return params, {"batch_stats": batch_stats}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """The weighted sum of the three terms for two random views; the terms are metrics."""
        first, second = two_views.make_views(
            self.augmentation, self.pixels, self.encoder, batch, key
        )
        of_first, of_second, stats = self._chain.on_views(
            params, state["batch_stats"], first, second
        )
        z_first, z_second = of_first["projector"], of_second["projector"]
        parts = {
            "invariance": invariance(z_first, z_second),
            "variance": (variance_hinge(z_first) + variance_hinge(z_second)) / 2,
            "covariance": covariance_penalty(z_first) + covariance_penalty(z_second),
        }
        loss = (
            self.invariance_weight * parts["invariance"]
            + self.variance_weight * parts["variance"]
            + self.covariance_weight * parts["covariance"]
        )
        return loss, (
            {"batch_stats": stats},
            {**parts, **two_views.collapse_metrics(z_first, z_second)},
        )

    @property
    def _chain(self) -> two_views.Chain:
        return two_views.Chain(self.encoder, {"projector": self.projector})


def _small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    method = VICReg(
        **common(architecture, small_views),
        projector=HeadConfig((1024, 1024), output_bias=False),
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def _paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Low-resource: a 2-layer expander with outputs of 4096.

    It gives no views: they are VICReg's own.
    """
    method = VICReg(
        **common(architecture, vicreg_views),
        projector=HeadConfig((4096, 4096), hidden_bias=True),
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def _original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """facebookresearch/vicreg.

    8192 three times, LARS .2 at a batch of 256, decay 1e-6, batch 2048, 1000 epochs (the paper's),
    warm-up for 10. Its schedule ends at a thousandth of the peak, this one at zero."""
    method = VICReg(
        **common(architecture, vicreg_views),
        projector=HeadConfig((8192, 8192, 8192), hidden_bias=True, output_bias=False),
        pixels=imagenet(architecture),
    )
    settings = PretrainSettings(
        (Phase(epochs=1000),),
        batch_size=2048,
        optimiser=LARS(weight_decay=1e-6),
        schedule=WarmupCosine(0.2, warmup=0.01),
    )
    return method, settings


def _released(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """lossfuns.py: the views' variance terms are summed, not averaged: twice the weight here.

    Model.py: 2048-4096-4096.
    """
    method = VICReg(
        **common(architecture, low_resource_released_views),
        projector=HeadConfig((4096, 4096), hidden_bias=True),
        variance_weight=50.0,
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


NAMED = (
    NamedMethod(
        "vicreg",
        {"small": _small, "paper": _paper, "original": _original, "released_code": _released},
        (VICReg,),
    ),
)
