"""SimCLR (Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, arXiv:2002.05709)."""

import dataclasses
from typing import Any, Literal

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import TwoViews
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import Directions, nt_xent
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch


@dataclasses.dataclass(frozen=True)
class SimCLR:
    """Tells an image's other view from all the other images of the batch.

    Attributes:
        encoder: any encoder's configuration.
        augmentation: makes the two views, of the encoder's size.
        projector: the head whose outputs are compared; it is thrown away afterwards.
        temperature: of NT-Xent.
        directions: "sum" as google-research/simclr's TF2 code, twice the "mean" of the paper.
        batch_norm_over: whose statistics batch norms take in training: those of "both_views" as one batch (google-research/simclr)
            or of "each_view" by itself.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.
    """

    encoder: Any
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
                f"SimCLR: batch_norm_over must be 'both_views' or 'each_view', got {self.batch_norm_over!r}"
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
        first, second = two_views.make_views(self.augmentation, self.pixels, self.encoder, batch, key)
        run = self._chain.on_both if self.batch_norm_over == "both_views" else self._chain.on_views
        of_first, of_second, stats = run(params, state["batch_stats"], first, second)
        z_first, z_second = of_first["projector"], of_second["projector"]
        loss = nt_xent(z_first, z_second, self.temperature, self.directions)
        return loss, ({"batch_stats": stats}, two_views.watched(z_first, z_second))

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        return state

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The encoder's features, without the projector."""
        return two_views.embed(self.encoder, self.pixels, params, state, images)

    @property
    def _chain(self) -> two_views.Chain:
        return two_views.Chain(self.encoder, {"projector": self.projector})
