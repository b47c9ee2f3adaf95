"""BYOL with positive pairs that are pushed apart in feature space: FT, a rival of BYOL-TracIn."""

import dataclasses
from typing import Any

import jax

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.models.architectures import Architecture
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import normalise, normalised_regression
from examine_jax.pretraining.methods import byol as byol_presets
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch, EncoderConfig, Method, Picture
from examine_jax.training.settings import PretrainSettings


@dataclasses.dataclass(frozen=True)
class BYOLFeatureTransformation:
    """BYOL on harder pairs of predictions q and targets z.

    q' = w q + (1 - w) z and z' = w z + (1 - w) q, with w - 1 from Beta(c, c) for every value.

    FT is made for MoCo; BYOL-TracIn's paper does not say how it uses it with BYOL. Here q and z are
    normalised first, as MoCo's are, and z' is constant, as BYOL's target is. FT's other half mixes
    negatives, which BYOL does not have.

    Attributes:
        byol: the method that is trained.
        concentration: c; FT's value is 2.

    Source: Zhu et al., arXiv:2108.02982.
    """

    byol: BYOL
    concentration: float = 2.0

    def __post_init__(self) -> None:
        if not self.concentration > 0:
            raise ValueError(
                "BYOLFeatureTransformation: concentration must be positive, got "
                f"{self.concentration}; it is that of a Beta distribution"
            )

    @property
    def encoder(self) -> EncoderConfig:
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
        first, second = two_views.make_views(
            byol.augmentation, byol.pixels, byol.encoder, batch, key
        )
        online = two_views.Chain(
            byol.encoder, {"projector": byol.projector, "predictor": byol.predictor}
        )
        following = two_views.Chain(byol.encoder, {"projector": byol.projector})
        of_first, of_second, stats = online.on_views(params, state["batch_stats"], first, second)
        to_first, to_second, target_stats = following.on_views(
            target["params"], target["batch_stats"], first, second
        )
        weight_key = jax.random.fold_in(key, 0x6674)  # the views use the key itself
        loss: Any = 0.0
        for i, (q, z) in enumerate(
            (
                (of_first["predictor"], to_second["projector"]),
                (of_second["predictor"], to_first["projector"]),
            )
        ):
            c = self.concentration
            weight = 1 + jax.random.beta(jax.random.fold_in(weight_key, i), c, c, q.shape)
            loss += normalised_regression(*extrapolated(q, z, weight))
        metrics = two_views.collapse_metrics(of_first["projector"], of_second["projector"])
        state = {
            "batch_stats": stats,
            "target": {"params": target["params"], "batch_stats": target_stats},
        }
        return loss, (state, metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """As BYOL."""
        return self.byol.after_update(params, state, step)

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The trained encoder's features, without the heads."""
        return self.byol.embed(params, state, images)

    def for_steps(self, steps: int) -> "BYOLFeatureTransformation":
        """As BYOL."""
        return dataclasses.replace(self, byol=self.byol.for_steps(steps))

    def pictures(
        self,
        params: PyTree,
        state: PyTree,
        images: Shaped[Array, "k height width channels"],
        key: Key[Array, ""],
    ) -> tuple[Picture, ...]:
        """Pairs of views."""
        return self.byol.pictures(params, state, images, key)


def extrapolated(
    prediction: Float[Array, "batch width"],
    target: Float[Array, "batch width"],
    weight: Float[Array, "batch width"],
) -> tuple[Float[Array, "batch width"], Float[Array, "batch width"]]:
    """(w q + (1 - w) z, w z + (1 - w) q) of the normalised prediction q and target z.

    The target is a constant.
    """
    q, z = normalise(prediction), normalise(jax.lax.stop_gradient(target))
    return weight * q + (1 - weight) * z, weight * z + (1 - weight) * q


def _small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    byol, settings = byol_presets.small(architecture)
    return BYOLFeatureTransformation(byol), settings


def _paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """As byol_tracin's: BYOL-TracIn's paper does not say how its rivals were trained."""
    byol, settings = byol_presets.study(architecture)
    return BYOLFeatureTransformation(byol), settings


NAMED = (NamedMethod("byol_ft", {"small": _small, "paper": _paper}, (BYOLFeatureTransformation,)),)
