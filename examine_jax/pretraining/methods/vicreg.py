"""VICReg (Bardes, Ponce and LeCun, Variance-Invariance-Covariance Regularization, arXiv:2105.04906)."""

import dataclasses
from typing import Any

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import TwoViews
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import covariance_penalty, invariance, variance_hinge
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch


@dataclasses.dataclass(frozen=True)
class VICReg:
    """Brings the views of an image together while every coordinate of the embeddings keeps varying and none repeats another.

    Attributes:
        encoder: any encoder's configuration.
        augmentation: makes the two views, of the encoder's size.
        projector: the paper's expander, wide; its outputs are not normalised.
        invariance_weight, variance_weight, covariance_weight: of the three terms; the variance term is the mean of the two views', the
            covariance term their sum, as in the reference code.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.

    Batch norms take the statistics of each view by itself, as the reference code.
    """

    encoder: Any
    augmentation: TwoViews
    projector: HeadConfig
    invariance_weight: float = 25.0
    variance_weight: float = 25.0
    covariance_weight: float = 1.0
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)

    def __post_init__(self) -> None:
        for field in ("invariance_weight", "variance_weight", "covariance_weight"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"VICReg: {field} must not be negative, got {getattr(self, field)}")
        self.pixels.check(self.encoder.channels)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "projector"}, state {"batch_stats"}."""
        params, batch_stats = self._chain.init(key)
        return params, {"batch_stats": batch_stats}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """The weighted sum of the three terms, of two views drawn from the key; the terms themselves are metrics."""
        first, second = two_views.make_views(self.augmentation, self.pixels, self.encoder, batch, key)
        of_first, of_second, stats = self._chain.on_views(params, state["batch_stats"], first, second)
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
        return loss, ({"batch_stats": stats}, {**parts, **two_views.watched(z_first, z_second)})

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        return state

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The encoder's features, without the expander."""
        return two_views.embed(self.encoder, self.pixels, params, state, images)

    @property
    def _chain(self) -> two_views.Chain:
        return two_views.Chain(self.encoder, {"projector": self.projector})
