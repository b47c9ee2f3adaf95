"""BYOL with an extra positive image.

Zeng, Wu, Hu, Xu, Hu and Shi, Additional Positive Enables Better Representation Learning for Medical
Images, MICCAI 2023.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.models.architectures import Architecture
from examine_jax.pretraining import two_views
from examine_jax.pretraining.extra_positives import (
    Choice,
    Evidence,
    FalseNegatives,
    LayerView,
    SameClass,
    SimilarPositive,
    TracInPositive,
    same_class,
)
from examine_jax.pretraining.losses import normalise, normalised_regression
from examine_jax.pretraining.methods import byol as byol_presets
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.named_method import NamedMethod, Preset
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.scorer import Scorer, last_layer_inputs, scorer_evidence
from examine_jax.training.method import IMAGE, Batch, EncoderConfig, Method, Picture
from examine_jax.training.settings import PretrainSettings

LABEL = "label"  # the column of classes, negative where unknown


@dataclasses.dataclass(frozen=True)
class BYOLTracIn:
    """BYOL with an extra positive: each prediction also meets the targets of another image.

    The extra positive is chosen in the step from the outputs of its forward pass. The loss is
    BYOL's plus `weight` times, for each prediction q of an image with the extra positive k,
    2 - 2 cos(q, z) summed over the targets z of k's views. The paper does not give this form; it is
    that of its first author's other code, with weight 1.

    Where a batch has a column "label", metrics say how many extra positives are of the right class.
    Only SameClass chooses by it and needs it.

    Attributes:
        byol: the method that the extra positive is added to.
        choice: TracInPositive (BYOL-TracIn), SimilarPositive (FS), FalseNegatives (FNC) or
            SameClass (BYOL-Sup).
        weight: of the extra positive beside the image's own other view.
        extra_views: targets of the extra image: "both", or "other": the one of the view that the
            prediction was not made from.
        scorer: a trained BYOL that chooses the extra positives, in evaluation mode and never
            changed (the paper's "-pretrained"; `encoders.scorer.load_scorer` reads one); None: the
            network that is trained chooses.

    Source: Zeng et al., MICCAI 2023.
    """

    byol: BYOL
    choice: Choice = dataclasses.field(default_factory=TracInPositive)
    weight: float = 1.0
    extra_views: Literal["both", "other"] = "both"
    scorer: Scorer | None = None

    removed_fields: ClassVar[tuple[str, ...]] = (
        "labels",
    )  # version 0.1 kept the labels in the method

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"BYOLTracIn: weight must be at least 0, got {self.weight}")
        if self.extra_views not in ("both", "other"):
            raise ValueError(
                f"BYOLTracIn: extra_views must be 'both' or 'other', got {self.extra_views!r}"
            )
        if self.scorer is not None:
            self.scorer.check_images(self.byol)
        _check_predictor(self.choice, self.byol if self.scorer is None else self.scorer.byol)

    @property
    def columns(self) -> tuple[str, ...]:
        """SameClass needs labels."""
        return (IMAGE, LABEL) if isinstance(self.choice, SameClass) else (IMAGE,)

    @property
    def metric_columns(self) -> tuple[str, ...]:
        """Labels, for the share of right extra positives."""
        return (LABEL,)

    @property
    def encoder(self) -> EncoderConfig:
        return self.byol.encoder

    @property
    def pixels(self) -> PixelScale:
        return self.byol.pixels

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """BYOL's parameters and state; with a scorer the state also has "scorer", its variables."""
        params, state = self.byol.init(key, batch)
        if self.scorer is not None:
            state = {**state, "scorer": jax.tree.map(jnp.asarray, self.scorer.variables)}
        return params, state

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """BYOL's loss plus that of the extra positives, both directions summed.

        Metrics besides BYOL's: "extra_positives", the share of images that have one; with labels
        also "extra_positives_right", the share of their weight on images of the same class (NaN if
        no image of a known class has one), and "extra_positives_chance", the same for a uniform
        choice among the other images of the batch.
        """
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
        q, z = (
            (of_first["predictor"], of_second["predictor"]),
            (to_first["projector"], to_second["projector"]),
        )
        labels = jnp.asarray(batch[LABEL], jnp.int32) if LABEL in batch else None
        if self.scorer is None:
            predictor_stats = state["batch_stats"].get("predictor", {})
            views = []
            for own, prediction, aim in zip((of_first, of_second), q, z[::-1]):
                # The forward pass has computed this already; the compiler reuses it.
                inputs = last_layer_inputs(
                    byol.predictor,
                    byol.encoder.dtype,
                    params["predictor"],
                    predictor_stats,
                    own["projector"],
                    train=True,
                )
                views.append(LayerView(inputs, prediction, aim))
            features = (of_first["encoder"], of_second["encoder"])
            evidence = Evidence(features, (views[0], views[1]), byol.predictor.output_bias, labels)
        else:
            evidence = scorer_evidence(self.scorer.byol, state["scorer"], first, second, labels)
        choice_key = jax.random.fold_in(key, 0x6578)  # the views use the key itself
        constant_features, constant_views = jax.lax.stop_gradient(
            (evidence.features, evidence.views)
        )
        evidence = evidence._replace(features=constant_features, views=constant_views)
        weights = self.choice.weights(evidence, choice_key)

        loss = normalised_regression(q[0], z[1]) + normalised_regression(q[1], z[0])
        for view in (0, 1):
            seen = (0, 1) if self.extra_views == "both" else (1 - view,)
            loss += self.weight * sum(
                weighted_regression(q[view], z[other], weights) for other in seen
            )
        metrics = two_views.collapse_metrics(of_first["projector"], of_second["projector"])
        metrics["extra_positives"] = (weights.sum(axis=1) > 0).mean(dtype=jnp.float32)
        if labels is not None:
            metrics.update(_rightness(weights, labels))
        new_state = {
            **state,
            "batch_stats": stats,
            "target": {"params": target["params"], "batch_stats": target_stats},
        }
        return loss, (new_state, metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """As BYOL; the scorer does not change."""
        return self.byol.after_update(params, state, step)

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The trained encoder's features, without the heads."""
        return self.byol.embed(params, state, images)

    def for_steps(self, steps: int) -> "BYOLTracIn":
        """As BYOL."""
        return dataclasses.replace(self, byol=self.byol.for_steps(steps))

    def to_save(self, state: PyTree) -> tuple["BYOLTracIn", PyTree]:
        """Without the scorer: the encoder can be read where the scorer is missing."""
        without = {name: part for name, part in state.items() if name != "scorer"}
        return dataclasses.replace(self, scorer=None), without

    def pictures(
        self,
        params: PyTree,
        state: PyTree,
        images: Shaped[Array, "k height width channels"],
        key: Key[Array, ""],
    ) -> tuple[Picture, ...]:
        """Pairs of views."""
        return self.byol.pictures(params, state, images, key)


def weighted_regression(
    prediction: Float[Array, "batch width"],
    target: Float[Array, "batch width"],
    weights: Float[Array, "batch batch"],
) -> Float[Array, ""]:
    """Mean over images i of sum_k weights[i, k] (2 - 2 cos(prediction_i, target_k)).

    The targets are constants.
    """
    cosines = normalise(prediction) * (weights @ normalise(jax.lax.stop_gradient(target)))
    return (2 * weights.sum(axis=1) - 2 * cosines.sum(axis=1)).mean()


def _rightness(weights: Float[Array, "batch batch"], labels: Array) -> dict[str, Float[Array, ""]]:
    alike = same_class(labels)
    known = (labels >= 0).astype(jnp.float32)
    pairs = known[:, None] * known * (1 - jnp.eye(len(labels)))
    counted = weights * pairs
    return {
        "extra_positives_right": (counted * alike).sum() / counted.sum(),
        "extra_positives_chance": alike.sum() / pairs.sum(),
    }


def _check_predictor(choice: Choice, byol: BYOL) -> None:
    if isinstance(choice, TracInPositive) and byol.predictor.output_norm != "none":
        raise ValueError(
            f"TracInPositive: a {byol.predictor.output_norm!r} batch norm follows the predictor's "
            "last linear layer, whose gradients are "
            "then not its output's; take a predictor with output_norm='none', or SimilarPositive"
        )


def _presets(choice: Choice) -> dict[str, Preset]:
    """The presets of one choice; the paper gives only the loss and the choice.

    `small` is BYOL's preset of that name; `paper` is BYOL's own recipe for 300 epochs of ImageNet
    (arXiv:2006.07733, appendix; deepmind-research). Unknown settings keep their defaults.
    """

    def with_choice(preset: Callable[[Architecture], tuple[BYOL, PretrainSettings]]) -> Preset:
        def build(architecture: Architecture) -> tuple[Method, PretrainSettings]:
            byol, settings = preset(architecture)
            return BYOLTracIn(byol, choice), settings

        return build

    return {"small": with_choice(byol_presets.small), "paper": with_choice(byol_presets.study)}


_SETTINGS = (BYOLTracIn, TracInPositive, SimilarPositive, FalseNegatives, SameClass)
NAMED = (
    NamedMethod("byol_tracin", _presets(TracInPositive()), _SETTINGS),
    NamedMethod("byol_fs", _presets(SimilarPositive()), _SETTINGS),
    NamedMethod("byol_fnc", _presets(FalseNegatives()), _SETTINGS),
    NamedMethod("byol_sup", _presets(SameClass()), _SETTINGS),
)
