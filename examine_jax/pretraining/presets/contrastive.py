"""SimCLR, DCL and DCLW."""

from examine_jax.images.augmentation import low_resource_released_views, simclr_views
from examine_jax.models.heads import HeadConfig
from examine_jax.models.presets import Architecture
from examine_jax.pretraining.methods.dcl import DCL
from examine_jax.pretraining.methods.simclr import SimCLR
from examine_jax.pretraining.presets.sources import (
    EXAMINE,
    LOW_RESOURCE,
    SMALL,
    SMALL_PIXELS,
    common,
    imagenet,
    small_views,
)
from examine_jax.training.method import Method
from examine_jax.training.optimiser import LARS, Adam, Constant, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings

_LOW_RESOURCE_HEAD = HeadConfig((512, 128), hidden_bias=True)  # 2048-512-BN-ReLU-128; torch's layers have biases


def _simclr_original_head(architecture: Architecture) -> HeadConfig:
    """google-research/simclr, tf2/model.py: two hidden layers as wide as the features, batch norm after each and after the output."""
    features = architecture.encoder.features
    return HeadConfig((features, features, 128), output_bias=False, output_norm="scaled")


def simclr_small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    method = SimCLR(
        **common(architecture, small_views),
        projector=HeadConfig((512, 128)),
        temperature=0.2,
        batch_norm_over="both_views",
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def simclr_paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Low-resource: "a 2-layer MLP projector head with 128-dimensional output" (hidden width from the code); views and temperature are
    not given: SimCLR's own."""
    method = SimCLR(
        **common(architecture, simclr_views),
        projector=_LOW_RESOURCE_HEAD,
        batch_norm_over="each_view",
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def simclr_examine(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """EXAMINE, section 4.3: trained as its MAE; head, views and temperature are not given: SimCLR's own."""
    method = SimCLR(**common(architecture, simclr_views), projector=_simclr_original_head(architecture))
    return method, EXAMINE


def simclr_original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """google-research/simclr, TF2: temperature .1, LARS .3 at a batch of 256, decay 1e-6, batch 4096, 10 of 100 epochs of warm-up, raw
    pixels."""
    method = SimCLR(
        **common(architecture, simclr_views), projector=_simclr_original_head(architecture), directions="sum"
    )
    settings = PretrainSettings(
        (Phase(epochs=100),),
        batch_size=4096,
        optimiser=LARS(weight_decay=1e-6, rate_in_momentum=True),
        schedule=WarmupCosine(0.3, warmup=0.1),
    )
    return method, settings


def simclr_released(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """lossfuns.py: temperature .5, the mean of both directions; model.py: 2048-512-128; crops of 8 % to 10 %."""
    method = SimCLR(
        **common(architecture, low_resource_released_views),
        projector=_LOW_RESOURCE_HEAD,
        temperature=0.5,
        batch_norm_over="each_view",
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def dcl_small(architecture: Architecture, weight_sigma: float | None = None) -> tuple[Method, PretrainSettings]:
    method = DCL(
        **common(architecture, small_views),
        projector=HeadConfig((512, 128)),
        temperature=0.2,
        weight_sigma=weight_sigma,
        directions="mean",
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def dclw_small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    return dcl_small(architecture, 0.5)


def dcl_paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Low-resource: the head as SimCLR's; views and temperature are not given: DCL's own, which are SimCLR's views and .1."""
    method = DCL(**common(architecture, simclr_views), projector=_LOW_RESOURCE_HEAD, pixels=imagenet(architecture))
    return method, LOW_RESOURCE


def dcl_original(architecture: Architecture, weight_sigma: float | None = None) -> tuple[Method, PretrainSettings]:
    """raminnakhli/Decoupled-Contrastive-Learning: 2048-512-128, temperature .1, Adam 1e-3 with decay 1e-6, batch 512, 500 epochs."""
    method = DCL(
        **common(architecture, simclr_views),
        projector=HeadConfig((512, 128)),
        weight_sigma=weight_sigma,
        pixels=imagenet(architecture),
    )
    settings = PretrainSettings(
        (Phase(epochs=500),), batch_size=512, optimiser=Adam(weight_decay=1e-6), schedule=Constant(1e-3)
    )
    return method, settings


def dclw_original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """The same with sigma .5."""
    return dcl_original(architecture, 0.5)


def dcl_released(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """lossfuns.py: what the paper calls DCL is DCLW in one direction, temperature .1, sigma .5."""
    method = DCL(
        **common(architecture, low_resource_released_views),
        projector=_LOW_RESOURCE_HEAD,
        weight_sigma=0.5,
        directions="first",
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE
