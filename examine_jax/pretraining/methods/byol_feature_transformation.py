"""BYOL whose positive pairs are pulled apart in feature space: FT (Zhu et al., arXiv:2108.02982), as a rival of BYOL-TracIn."""

import dataclasses
from typing import Any

import jax

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import normalise, normalised_regression
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch


@dataclasses.dataclass(frozen=True)
class BYOLFeatureTransformation:
    """BYOL on harder pairs: q' = w q + (1 - w) z and z' = w z + (1 - w) q, with w - 1 drawn from Beta(c, c) for every value of both.

    FT was made for MoCo; how it was brought to BYOL is not told. Here q and z are normalised first, as MoCo's are, and z' is a constant as
    BYOL's target is; FT's other half mixes negatives, which BYOL has none of.

    Attributes:
        byol: what is trained.
        concentration: c; FT's 2.
    """

    byol: BYOL
    concentration: float = 2.0

    def __post_init__(self) -> None:
        if not self.concentration > 0:
            raise ValueError(
                f"BYOLFeatureTransformation: concentration must be positive, got {self.concentration}; it is that of a Beta distribution"
            )

    @property
    def encoder(self) -> Any:
        return self.byol.encoder

    @property
    def pixels(self) -> PixelScale:
        return self.byol.pixels

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """As BYOL."""
        return self.byol.init(key, batch)

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """2 - 2 cos of the transformed prediction and target, both directions summed."""
        byol, target = self.byol, state["target"]
        first, second = two_views.make_views(byol.augmentation, byol.pixels, byol.encoder, batch, key)
        online = two_views.Chain(byol.encoder, {"projector": byol.projector, "predictor": byol.predictor})
        following = two_views.Chain(byol.encoder, {"projector": byol.projector})
        of_first, of_second, stats = online.on_views(params, state["batch_stats"], first, second)
        to_first, to_second, target_stats = following.on_views(target["params"], target["batch_stats"], first, second)
        weight_key = jax.random.fold_in(key, 0x6674)  # the views take the key as it is
        loss: Any = 0.0
        for i, (q, z) in enumerate(
            ((of_first["predictor"], to_second["projector"]), (of_second["predictor"], to_first["projector"]))
        ):
            c = self.concentration
            weight = 1 + jax.random.beta(jax.random.fold_in(weight_key, i), c, c, q.shape)
            loss += normalised_regression(*extrapolated(q, z, weight))
        metrics = two_views.watched(of_first["projector"], of_second["projector"])
        state = {"batch_stats": stats, "target": {"params": target["params"], "batch_stats": target_stats}}
        return loss, (state, metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """As BYOL."""
        return self.byol.after_update(params, state, step)

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The trained encoder's features, without the heads."""
        return self.byol.embed(params, state, images)


def extrapolated(
    prediction: Float[Array, "batch width"], target: Float[Array, "batch width"], weight: Float[Array, "batch width"]
) -> tuple[Float[Array, "batch width"], Float[Array, "batch width"]]:
    """(w q + (1 - w) z, w z + (1 - w) q) of the normalised prediction q and target z; the target is a constant."""
    q, z = normalise(prediction), normalise(jax.lax.stop_gradient(target))
    return weight * q + (1 - weight) * z, weight * z + (1 - weight) * q
