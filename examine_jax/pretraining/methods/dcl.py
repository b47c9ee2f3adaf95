"""DCL and DCLW (Yeh et al., Decoupled Contrastive Learning, arXiv:2110.06848)."""

import dataclasses

from examine_jax.common.shapes import Array, Float, Key, PyTree
from examine_jax.images.augmentation import TwoViews, low_resource_released_views, simclr_views
from examine_jax.models.architectures import Architecture
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import Directions, decoupled_contrastive
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.presets_shared import (
    LOW_RESOURCE,
    LOW_RESOURCE_HEAD,
    SMALL,
    SMALL_PIXELS,
    common,
    imagenet,
    small_views,
)
from examine_jax.training.method import Batch, EncoderConfig, Method
from examine_jax.training.optimiser import Adam, Constant
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class DCL(two_views.TwoViewMethod):
    """SimCLR without the positive pair in the denominator (DCL); with weight_sigma: DCLW.

    Attributes:
        encoder: the encoder's configuration.
        augmentation: makes the two views, of the encoder's image size.
        projector: the head whose outputs are compared; it is discarded after training.
        temperature: of the loss.
        weight_sigma: None for DCL; a number (0.5 in the paper) for DCLW, which gives unlike pairs
            more weight.
        directions: "sum" as the reference code; "first" as the low-resource paper's.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.

    Batch norms use each view's own statistics, as the reference code.
    """

    encoder: EncoderConfig
    augmentation: TwoViews
    projector: HeadConfig
    temperature: float = 0.1
    weight_sigma: float | None = None
    directions: Directions = "sum"
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)

    def __post_init__(self) -> None:
        two_views.check_contrast("DCL", self.temperature, self.directions)
        if self.weight_sigma is not None and not self.weight_sigma > 0:
            raise ValueError(f"DCL: weight_sigma must be positive or None, got {self.weight_sigma}")
        self.pixels.check(self.encoder.channels)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "projector"}, state {"batch_stats"}."""
        params, batch_stats = self._chain.init(key)
        return params, {"batch_stats": batch_stats}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """The decoupled loss of two views drawn from the key."""
        first, second = two_views.make_views(
            self.augmentation, self.pixels, self.encoder, batch, key
        )
        of_first, of_second, stats = self._chain.on_views(
            params, state["batch_stats"], first, second
        )
        z_first, z_second = of_first["projector"], of_second["projector"]
        loss = decoupled_contrastive(
            z_first, z_second, self.temperature, self.directions, self.weight_sigma
        )
        return loss, ({"batch_stats": stats}, two_views.collapse_metrics(z_first, z_second))

    @property
    def _chain(self) -> two_views.Chain:
        return two_views.Chain(self.encoder, {"projector": self.projector})


def _small(
    architecture: Architecture, weight_sigma: float | None = None
) -> tuple[Method, PretrainSettings]:
    method = DCL(
        **common(architecture, small_views),
        projector=HeadConfig((512, 128)),
        temperature=0.2,
        weight_sigma=weight_sigma,
        directions="mean",
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def _small_weighted(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    return _small(architecture, 0.5)


def _paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Low-resource: SimCLR's head.

    It gives neither views nor temperature: they are DCL's own (SimCLR's views, .1).
    """
    method = DCL(
        **common(architecture, simclr_views),
        projector=LOW_RESOURCE_HEAD,
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def _original(
    architecture: Architecture, weight_sigma: float | None = None
) -> tuple[Method, PretrainSettings]:
    """raminnakhli/Decoupled-Contrastive-Learning.

    2048-512-128, temperature .1, Adam 1e-3 with decay 1e-6, batch 512, 500 epochs.
    """
    method = DCL(
        **common(architecture, simclr_views),
        projector=HeadConfig((512, 128)),
        weight_sigma=weight_sigma,
        pixels=imagenet(architecture),
    )
    settings = PretrainSettings(
        (Phase(epochs=500),),
        batch_size=512,
        optimiser=Adam(weight_decay=1e-6),
        schedule=Constant(1e-3),
    )
    return method, settings


def _original_weighted(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """As `_original`, with sigma .5."""
    return _original(architecture, 0.5)


def _released(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """lossfuns.py: its DCL is the paper's DCLW in one direction, temperature .1, sigma .5."""
    method = DCL(
        **common(architecture, low_resource_released_views),
        projector=LOW_RESOURCE_HEAD,
        weight_sigma=0.5,
        directions="first",
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


NAMED = (
    NamedMethod(
        "dcl",
        {"small": _small, "paper": _paper, "original": _original, "released_code": _released},
        (DCL,),
    ),
    NamedMethod(
        "dclw",
        {"small": _small_weighted, "original": _original_weighted, "released_code": _released},
        (DCL,),
    ),
)
