"""Which other image of a batch an image is also pulled towards: weights [B, B], a row an image, zero on the diagonal."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Bool, Float, Int, Key
from examine_jax.influence.last_layer import gradient_products, normalised_regression_gradients
from examine_jax.pretraining.losses import normalise


class LayerView(NamedTuple):
    """What the predictor made of one view of a batch, and what it was to make of it."""

    activations: Float[Array, "batch hidden"]  # into the predictor's last linear layer
    prediction: Float[Array, "batch width"]  # out of it
    target: Float[Array, "batch width"]  # the other view's target projection, a constant


class Evidence(NamedTuple):
    """What a choice may look at; no gradient flows through it."""

    features: tuple[Float[Array, "batch features"], Float[Array, "batch features"]]  # the encoder's, of both views
    views: tuple[LayerView, LayerView]
    predictor_bias: bool  # whether the last linear layer has a bias
    labels: Int[Array, " batch"] | None


@dataclasses.dataclass(frozen=True)
class TracInPositive:
    """The other image of largest TracIn at the predictor's last linear layer (BYOL-TracIn).

    Attributes:
      scored: which view's gradients are compared: "first", "second", or "both" (their TracIn values are added). Not told by the paper.
    """

    scored: Literal["first", "second", "both"] = "first"

    def __post_init__(self) -> None:
        if self.scored not in ("first", "second", "both"):
            raise ValueError(f"TracInPositive: scored must be first, second or both, got {self.scored!r}")

    def scores(self, evidence: Evidence) -> Float[Array, "batch batch"]:
        """TracIn of each pair of images, up to the learning rate."""

        def of(view: LayerView) -> Float[Array, "batch batch"]:
            gradients = normalised_regression_gradients(view.prediction, view.target)
            pair = (view.activations, gradients)
            return gradient_products(*pair, *pair, bias=evidence.predictor_bias)

        first, second = evidence.views
        if self.scored == "both":
            return of(first) + of(second)
        return of(first if self.scored == "first" else second)

    def weights(self, evidence: Evidence, key: Key[Array, ""]) -> Float[Array, "batch batch"]:
        return _largest(self.scores(evidence))


@dataclasses.dataclass(frozen=True)
class SimilarPositive:
    """The other image whose features have the largest cosine (the paper's FS); of first views, as the paper does not tell."""

    def scores(self, evidence: Evidence) -> Float[Array, "batch batch"]:
        """Cosines of each pair of images."""
        return _cosines(evidence.features[0], evidence.features[0])

    def weights(self, evidence: Evidence, key: Key[Array, ""]) -> Float[Array, "batch batch"]:
        return _largest(self.scores(evidence))


@dataclasses.dataclass(frozen=True)
class FalseNegatives:
    """FNC (Huynh et al., arXiv:2011.11765) in a method without negatives: what it would take for false negatives is attracted.

    Each image's `most` others of largest cosine, as far as that exceeds `threshold`, weigh the same and together 1 (an image may have
    none). The cosine is the largest over the pairs of views: a support set of two views, where FNC makes eight more.
    """

    most: int = 10
    threshold: float = 0.7

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"FalseNegatives: most must be at least 1, got {self.most}")

    def scores(self, evidence: Evidence) -> Float[Array, "batch batch"]:
        """The largest cosine over pairs of views, of each pair of images."""
        first, second = evidence.features
        across = _cosines(first, second)
        return jnp.stack([_cosines(first, first), across, across.T, _cosines(second, second)]).max(axis=0)

    def weights(self, evidence: Evidence, key: Key[Array, ""]) -> Float[Array, "batch batch"]:
        scores = _without_self(self.scores(evidence))
        best, place = jax.lax.top_k(scores, min(self.most, len(scores) - 1))
        taken = jnp.where(best > self.threshold, 1.0, 0.0)
        taken = taken / jnp.maximum(taken.sum(axis=1, keepdims=True), 1)
        return jnp.zeros_like(scores).at[jnp.arange(len(scores))[:, None], place].set(taken)


@dataclasses.dataclass(frozen=True)
class SameClass:
    """Another image of the same class, drawn evenly (the paper's BYOL-Sup, the upper bound); none where the batch holds no other."""

    def scores(self, evidence: Evidence) -> Float[Array, "batch batch"]:
        """1 for pairs of one class, 0 else."""
        return same_class(_labels(evidence)).astype(jnp.float32)

    def weights(self, evidence: Evidence, key: Key[Array, ""]) -> Float[Array, "batch batch"]:
        alike = same_class(_labels(evidence))
        drawn = jnp.where(alike, jax.random.uniform(key, alike.shape), -jnp.inf)
        return _largest(drawn) * alike


Choice = TracInPositive | SimilarPositive | FalseNegatives | SameClass


def same_class(labels: Int[Array, " batch"]) -> Bool[Array, "batch batch"]:
    """Which pairs of different images have one label; a negative label is unknown, and like no other."""
    alike = (labels[:, None] == labels) & (labels[:, None] >= 0)
    return alike & ~jnp.eye(len(labels), dtype=bool)


def _labels(evidence: Evidence) -> Int[Array, " batch"]:
    if evidence.labels is None:
        raise ValueError("SameClass: the images have no labels; give the method's `labels`, or a batch with a 'label'")
    return evidence.labels


def _cosines(first: Float[Array, "batch width"], second: Float[Array, "batch width"]) -> Float[Array, "batch batch"]:
    return jnp.matmul(normalise(first), normalise(second).T, precision=jax.lax.Precision.HIGHEST)


def _without_self(scores: Float[Array, "batch batch"]) -> Float[Array, "batch batch"]:
    return jnp.where(jnp.eye(len(scores), dtype=bool), -jnp.inf, scores)


def _largest(scores: Float[Array, "batch batch"]) -> Float[Array, "batch batch"]:
    """1 at each row's largest entry off the diagonal, 0 elsewhere.

    Raises:
        ValueError: a batch of one image, which has no other.
    """
    if len(scores) < 2:
        raise ValueError(
            "an extra positive out of a (micro-)batch of one image: take a larger batch, or fewer micro-batches"
        )
    chosen = jnp.argmax(_without_self(scores), axis=1)
    return jax.nn.one_hot(chosen, len(scores), dtype=scores.dtype)
