"""BYOL, SimSiam and VICReg."""

from examine_jax.images.augmentation import byol_views, low_resource_released_views, simsiam_views, vicreg_views
from examine_jax.models.heads import HeadConfig
from examine_jax.models.presets import Architecture
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.simsiam import SimSiam
from examine_jax.pretraining.methods.vicreg import VICReg
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.pretraining.presets.sources import (
    EXAMINE,
    EXAMINE_STEPS,
    LOW_RESOURCE,
    SMALL,
    SMALL_PIXELS,
    common,
    imagenet,
    small_views,
)
from examine_jax.training.method import Method
from examine_jax.training.optimiser import LARS, SGD, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings

_IMAGENET_IMAGES = 1_281_167

_BYOL_HEAD = HeadConfig((4096, 256), hidden_bias=True, output_bias=False)  # deepmind-research, byol/utils/networks.py


def byol_small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """The target follows faster than in the paper: a run is hundreds of steps, not hundreds of thousands."""
    head = HeadConfig((512, 128), output_bias=False)
    method = BYOL(
        **common(architecture, small_views),
        projector=head,
        predictor=head,
        moving_average=MovingAverage(0.98, steps=1000),
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def byol_paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """EXAMINE, section 4.3: trained as its MAE; heads, views and moving average are not given: BYOL's own, of 100 to 300 epochs."""
    method = BYOL(
        **common(architecture, byol_views),
        projector=_BYOL_HEAD,
        predictor=_BYOL_HEAD,
        moving_average=MovingAverage(0.99, EXAMINE_STEPS),
        pixels=imagenet(architecture),
    )
    return method, EXAMINE


def byol_original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """deepmind-research, byol/configs/byol.py: 1000 epochs, batch 4096, LARS .2, decay 1.5e-6, 10 epochs of warm-up, average from .996."""
    method = BYOL(
        **common(architecture, byol_views),
        projector=_BYOL_HEAD,
        predictor=_BYOL_HEAD,
        moving_average=MovingAverage(0.996, 1000 * _IMAGENET_IMAGES // 4096),
        pixels=imagenet(architecture),
    )
    settings = PretrainSettings(
        (Phase(epochs=1000),),
        batch_size=4096,
        optimiser=LARS(weight_decay=1.5e-6),
        schedule=WarmupCosine(0.2, warmup=0.01),
    )
    return method, settings


def simsiam_small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """The predictor's hidden layer is a quarter of its output, as in the paper."""
    method = SimSiam(
        **common(architecture, small_views),
        projector=HeadConfig((512, 512), output_bias=False, output_norm="plain"),
        predictor=HeadConfig((128, 512)),
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def simsiam_paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Low-resource: "2-layer MLP projector heads with outputs of 512" and its equation 2, which has predictions p: a predictor with a
    hidden layer of a quarter, as the original's; views are not given: SimSiam's own."""
    method = SimSiam(
        **common(architecture, simsiam_views),
        projector=HeadConfig((2048, 512), output_bias=False, output_norm="plain"),
        predictor=HeadConfig((128, 512)),
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def simsiam_original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """facebookresearch/simsiam: 3-layer projector ending in a plain batch norm, predictor 2048-512-2048, SGD .05 at a batch of 256,
    batch 512, 100 epochs, no warm-up, the predictor's rate fixed."""
    features = architecture.encoder.features
    method = SimSiam(
        **common(architecture, simsiam_views),
        projector=HeadConfig((features, features, 2048), output_bias=False, output_norm="plain"),
        predictor=HeadConfig((512, 2048)),
        pixels=imagenet(architecture),
    )
    settings = PretrainSettings(
        (Phase(epochs=100),),
        batch_size=512,
        optimiser=SGD(momentum=0.9, weight_decay=1e-4, fixed_rate=("predictor",)),
        schedule=WarmupCosine(0.05, warmup=0.0),
    )
    return method, settings


def simsiam_released(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """model.py: 2048-2048-512 and no predictor."""
    method = SimSiam(
        **common(architecture, low_resource_released_views),
        projector=HeadConfig((2048, 512), hidden_bias=True),
        predictor=None,
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def vicreg_small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    method = VICReg(
        **common(architecture, small_views),
        projector=HeadConfig((1024, 1024), output_bias=False),
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def vicreg_paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Low-resource: a 2-layer expander with outputs of 4096; views are not given: VICReg's own."""
    method = VICReg(
        **common(architecture, vicreg_views),
        projector=HeadConfig((4096, 4096), hidden_bias=True),
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def vicreg_original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """facebookresearch/vicreg: 8192 three times, LARS .2 at a batch of 256, decay 1e-6, batch 2048, 1000 epochs (the paper's), 10 of
    warm-up; its schedule ends at a thousandth of the peak, here at zero."""
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


def vicreg_released(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """lossfuns.py: the views' variance terms are summed, not averaged: twice the weight here; model.py: 2048-4096-4096."""
    method = VICReg(
        **common(architecture, low_resource_released_views),
        projector=HeadConfig((4096, 4096), hidden_bias=True),
        variance_weight=50.0,
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE
