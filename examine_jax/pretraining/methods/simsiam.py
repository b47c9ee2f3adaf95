"""SimSiam (Chen and He, Exploring Simple Siamese Representation Learning, arXiv:2011.10566)."""

import dataclasses
from typing import Any

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import TwoViews
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import negative_cosine
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch


@dataclasses.dataclass(frozen=True)
class SimSiam:
    """Predicts the embedding of an image's other view, which is held constant; no negatives, no second network.

    Attributes:
        encoder: any encoder's configuration.
        augmentation: makes the two views, of the encoder's size.
        projector: gives the embeddings z that are predicted.
        predictor: gives the predictions p from them; its last width is the projector's. None: z itself (the low-resource paper's code),
            which nothing but the stop-gradient then keeps from collapse.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.

    Batch norms take the statistics of each view by itself, as the reference code.
    """

    encoder: Any
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
        """-(cos(p1, z2) + cos(p2, z1)) / 2, z constant, of two views drawn from the key; between -1 and 1."""
        first, second = two_views.make_views(self.augmentation, self.pixels, self.encoder, batch, key)
        of_first, of_second, stats = self._chain.on_views(params, state["batch_stats"], first, second)
        last = "projector" if self.predictor is None else "predictor"
        forth = negative_cosine(of_first[last], of_second["projector"])
        back = negative_cosine(of_second[last], of_first["projector"])
        metrics = two_views.watched(of_first["projector"], of_second["projector"])
        return (forth + back) / 2, ({"batch_stats": stats}, metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        return state

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The encoder's features, without the heads."""
        return two_views.embed(self.encoder, self.pixels, params, state, images)

    @property
    def _chain(self) -> two_views.Chain:
        heads = {"projector": self.projector}
        return two_views.Chain(
            self.encoder, heads if self.predictor is None else {**heads, "predictor": self.predictor}
        )
