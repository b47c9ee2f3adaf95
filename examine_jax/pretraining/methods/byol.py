"""BYOL (Grill et al., Bootstrap Your Own Latent, arXiv:2006.07733)."""

import dataclasses
from typing import Any

import jax

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import TwoViews
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import normalised_regression
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch


@dataclasses.dataclass(frozen=True)
class BYOL:
    """Predicts what a slowly following copy of the network makes of an image's other view; no negatives.

    As deepmind-research's code: the copy (the target) starts from weights of its own, runs its batch norms in training mode with
    running averages of its own, and follows encoder and projector, not the predictor; features come from the network that is trained.

    Attributes:
        encoder: any encoder's configuration.
        augmentation: makes the two views, of the encoder's size.
        projector, predictor: of one last width.
        moving_average: how the target follows; its steps are those of the training.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.
    """

    encoder: Any
    augmentation: TwoViews
    projector: HeadConfig
    predictor: HeadConfig
    moving_average: MovingAverage
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)

    def __post_init__(self) -> None:
        two_views.check_predictor("BYOL", self.projector, self.predictor)
        self.pixels.check(self.encoder.channels)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "projector", "predictor"}, state {"batch_stats", "target": {"params", "batch_stats"}}."""
        online_key, target_key = jax.random.split(key)
        params, batch_stats = self._online.init(online_key)
        target_params, target_stats = self._target.init(target_key)
        return params, {"batch_stats": batch_stats, "target": {"params": target_params, "batch_stats": target_stats}}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """2 - 2 cos of prediction and target, both directions summed, of two views drawn from the key; between 0 and 8."""
        first, second = two_views.make_views(self.augmentation, self.pixels, self.encoder, batch, key)
        of_first, of_second, stats = self._online.on_views(params, state["batch_stats"], first, second)
        target = state["target"]
        to_first, to_second, target_stats = self._target.on_views(
            target["params"], target["batch_stats"], first, second
        )
        forth = normalised_regression(of_first["predictor"], to_second["projector"])
        back = normalised_regression(of_second["predictor"], to_first["projector"])
        state = {"batch_stats": stats, "target": {"params": target["params"], "batch_stats": target_stats}}
        metrics = two_views.watched(of_first["projector"], of_second["projector"])
        return forth + back, (state, metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """The target moved towards the updated parameters; `step` counts the updates done, this one included."""
        target = state["target"]
        online = {name: params[name] for name in target["params"]}
        moved = self.moving_average.update(target["params"], online, step - 1)
        return {**state, "target": {**target, "params": moved}}

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The trained encoder's features (not the target's), without the heads."""
        return two_views.embed(self.encoder, self.pixels, params, state, images)

    @property
    def _online(self) -> two_views.Chain:
        return two_views.Chain(self.encoder, {"projector": self.projector, "predictor": self.predictor})

    @property
    def _target(self) -> two_views.Chain:
        return two_views.Chain(self.encoder, {"projector": self.projector})
