"""SimCLR (Chen et al., A Simple Framework for Contrastive Learning, arXiv:2002.05709)."""

import dataclasses
from typing import Literal

from examine_jax.common.shapes import Array, Float, Key, PyTree
from examine_jax.images.augmentation import TwoViews, low_resource_released_views, simclr_views
from examine_jax.models.architectures import Architecture
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import Directions, nt_xent
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.presets_shared import (
    EXAMINE,
    LOW_RESOURCE,
    LOW_RESOURCE_HEAD,
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
class SimCLR(two_views.TwoViewMethod):
    """Identifies an image's other view among all other images of the batch.

    Attributes:
        encoder: the encoder's configuration.
        augmentation: makes the two views, of the encoder's image size.
        projector: the head whose outputs are compared; it is discarded after training.
        temperature: of NT-Xent.
        directions: "sum" as google-research/simclr's TF2 code, twice the "mean" of the paper.
        batch_norm_over: the images whose statistics batch norms use in training: "both_views" as
            one batch (google-research/simclr), or "each_view" by itself.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.
    """

    encoder: EncoderConfig
    augmentation: TwoViews
    projector: HeadConfig
    temperature: float = 0.1
    directions: Directions = "mean"
    batch_norm_over: Literal["both_views", "each_view"] = "both_views"
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)

    def __post_init__(self) -> None:
        two_views.check_contrast("SimCLR", self.temperature, self.directions)
        if self.batch_norm_over not in ("both_views", "each_view"):
            raise ValueError(
                "SimCLR: batch_norm_over must be 'both_views' or 'each_view', got "
                f"{self.batch_norm_over!r}"
            )
        self.pixels.check(self.encoder.channels)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "projector"}, state {"batch_stats"}."""
        params, batch_stats = self._chain.init(key)
        return params, {"batch_stats": batch_stats}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """NT-Xent of two views drawn from the key."""
        first, second = two_views.make_views(
            self.augmentation, self.pixels, self.encoder, batch, key
        )
        run = self._chain.on_both if self.batch_norm_over == "both_views" else self._chain.on_views
        of_first, of_second, stats = run(params, state["batch_stats"], first, second)
        z_first, z_second = of_first["projector"], of_second["projector"]
        loss = nt_xent(z_first, z_second, self.temperature, self.directions)
        return loss, ({"batch_stats": stats}, two_views.collapse_metrics(z_first, z_second))

    @property
    def _chain(self) -> two_views.Chain:
        return two_views.Chain(self.encoder, {"projector": self.projector})


def _simclr_original_head(architecture: Architecture) -> HeadConfig:
    """google-research/simclr, tf2/model.py.

    Two hidden layers as wide as the features, batch norm after each and after the output.
    """
    features = architecture.encoder.features
    return HeadConfig((features, features, 128), output_bias=False, output_norm="scaled")


def _small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    method = SimCLR(
        **common(architecture, small_views),
        projector=HeadConfig((512, 128)),
        temperature=0.2,
        batch_norm_over="both_views",
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def _paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Low-resource.

    "a 2-layer MLP projector head with 128-dimensional output" (hidden width from the code). It
    gives neither views nor temperature: they are SimCLR's own."""
    method = SimCLR(
        **common(architecture, simclr_views),
        projector=LOW_RESOURCE_HEAD,
        batch_norm_over="each_view",
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def _examine(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """EXAMINE, section 4.3: trained as its MAE.

    It gives no head, views or temperature: they are SimCLR's own.
    """
    method = SimCLR(
        **common(architecture, simclr_views), projector=_simclr_original_head(architecture)
    )
    return method, EXAMINE


def _original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """google-research/simclr, TF2.

    Temperature .1, LARS .3 at a batch of 256, decay 1e-6, batch 4096, warm-up for 10 of 100
    epochs, raw pixels."""
    method = SimCLR(
        **common(architecture, simclr_views),
        projector=_simclr_original_head(architecture),
        directions="sum",
    )
    settings = PretrainSettings(
        (Phase(epochs=100),),
        batch_size=4096,
        optimiser=LARS(weight_decay=1e-6, rate_in_momentum=True),
        schedule=WarmupCosine(0.3, warmup=0.1),
    )
    return method, settings


def _released(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """lossfuns.py: temperature .5, the mean of both directions; model.py: 2048-512-128.

    Crops of 8 % to 10 %.
    """
    method = SimCLR(
        **common(architecture, low_resource_released_views),
        projector=LOW_RESOURCE_HEAD,
        temperature=0.5,
        batch_norm_over="each_view",
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


NAMED = (
    NamedMethod(
        "simclr",
        {
            "small": _small,
            "paper": _paper,
            "examine": _examine,
            "original": _original,
            "released_code": _released,
        },
        (SimCLR,),
    ),
)
