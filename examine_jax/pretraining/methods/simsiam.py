"""SimSiam (Chen and He, Exploring Simple Siamese Representation Learning, arXiv:2011.10566)."""

import dataclasses

from examine_jax.common.shapes import Array, Float, Key, PyTree
from examine_jax.images.augmentation import TwoViews, low_resource_released_views, simsiam_views
from examine_jax.models.architectures import Architecture
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import negative_cosine
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
from examine_jax.training.optimiser import SGD, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class SimSiam(two_views.TwoViewMethod):
    """Predicts the constant embedding of an image's other view; no negatives, no second network.

    Attributes:
        encoder: the encoder's configuration.
        augmentation: makes the two views, of the encoder's image size.
        projector: computes the embeddings z.
        predictor: computes the predictions p from z; its last width is the projector's. None: p is
            z (the low-resource paper's code), so that only the stop-gradient prevents collapse.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.

    Batch norms use each view's own statistics, as the reference code.
    """

    encoder: EncoderConfig
    augmentation: TwoViews
    projector: HeadConfig
    predictor: HeadConfig | None
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)

    def __post_init__(self) -> None:
        two_views.check_predictor("SimSiam", self.projector, self.predictor)
        self.pixels.check(self.encoder.channels)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "projector", "predictor"}, state {"batch_stats"}."""
        params, batch_stats = self._chain.init(key)
        return params, {"batch_stats": batch_stats}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """-(cos(p1, z2) + cos(p2, z1)) / 2, z constant, for two random views; between -1 and 1."""
        first, second = two_views.make_views(
            self.augmentation, self.pixels, self.encoder, batch, key
        )
        of_first, of_second, stats = self._chain.on_views(
            params, state["batch_stats"], first, second
        )
        last = "projector" if self.predictor is None else "predictor"
        forth = negative_cosine(of_first[last], of_second["projector"])
        back = negative_cosine(of_second[last], of_first["projector"])
        metrics = two_views.collapse_metrics(of_first["projector"], of_second["projector"])
        return (forth + back) / 2, ({"batch_stats": stats}, metrics)

    @property
    def _chain(self) -> two_views.Chain:
        heads = {"projector": self.projector}
        return two_views.Chain(
            self.encoder,
            heads if self.predictor is None else {**heads, "predictor": self.predictor},
        )


def _small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """The predictor's hidden layer is a quarter of its output, as in the paper."""
    method = SimSiam(
        **common(architecture, small_views),
        projector=HeadConfig((512, 512), output_bias=False, output_norm="plain"),
        predictor=HeadConfig((128, 512)),
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def _paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Low-resource.

    "2-layer MLP projector heads with outputs of 512". Its equation 2 has predictions p: a predictor
    with a hidden layer of a quarter, as the original's. It gives no views: they are SimSiam's
    own."""
    method = SimSiam(
        **common(architecture, simsiam_views),
        projector=HeadConfig((2048, 512), output_bias=False, output_norm="plain"),
        predictor=HeadConfig((128, 512)),
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


def _original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """facebookresearch/simsiam.

    3-layer projector ending in a plain batch norm, predictor 2048-512-2048, SGD .05 at a batch of
    256, batch 512, 100 epochs, no warm-up, the predictor's rate fixed."""
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


def _released(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """Its model.py: 2048-2048-512 and no predictor."""
    method = SimSiam(
        **common(architecture, low_resource_released_views),
        projector=HeadConfig((2048, 512), hidden_bias=True),
        predictor=None,
        pixels=imagenet(architecture),
    )
    return method, LOW_RESOURCE


NAMED = (
    NamedMethod(
        "simsiam",
        {"small": _small, "paper": _paper, "original": _original, "released_code": _released},
        (SimSiam,),
    ),
)
