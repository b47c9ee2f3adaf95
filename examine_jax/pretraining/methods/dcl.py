"""DCL and DCLW (Yeh et al., Decoupled Contrastive Learning, arXiv:2110.06848)."""

import dataclasses
from typing import Any

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import TwoViews
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import Directions, decoupled_contrastive
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch


@dataclasses.dataclass(frozen=True)
class DCL:
    """SimCLR without the positive pair in the denominator, which small batches gain from; DCLW where weight_sigma is given.

    Attributes:
        encoder: any encoder's configuration.
        augmentation: makes the two views, of the encoder's size.
        projector: the head whose outputs are compared; it is thrown away afterwards.
        temperature: of the loss.
        weight_sigma: None: DCL. A number (0.5 in the paper): DCLW, which weighs pairs that differ more the higher.
        directions: "sum" as the reference code; "first" as the low-resource paper's.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.

    Batch norms take the statistics of each view by itself, as the reference code.
    """

    encoder: Any
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
        first, second = two_views.make_views(self.augmentation, self.pixels, self.encoder, batch, key)
        of_first, of_second, stats = self._chain.on_views(params, state["batch_stats"], first, second)
        z_first, z_second = of_first["projector"], of_second["projector"]
        loss = decoupled_contrastive(z_first, z_second, self.temperature, self.directions, self.weight_sigma)
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
