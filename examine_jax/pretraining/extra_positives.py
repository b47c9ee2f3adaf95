"""Extra positives as weights [B, B]: how strongly image i is attracted to image j; 0 for i = j."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Bool, Float, Int, Key
from examine_jax.influence.last_layer import gradient_products, normalised_regression_gradients
from examine_jax.pretraining.losses import normalise


class LayerView(NamedTuple):
    """The predictor's last layer for one view of a batch."""

    activations: Float[Array, "batch hidden"]  # inputs of the predictor's last linear layer
    prediction: Float[Array, "batch width"]  # its outputs
    target: Float[Array, "batch width"]  # the other view's target projection; constant


class Evidence(NamedTuple):
    """What a choice may use; no gradient flows through it."""

    features: tuple[
        Float[Array, "batch features"], Float[Array, "batch features"]
    ]  # of the encoder, for both views
    views: tuple[LayerView, LayerView]
    predictor_bias: bool  # whether the last linear layer has a bias
    labels: Int[Array, " batch"] | None


@dataclasses.dataclass(frozen=True)
class TracInPositive:
    """The other image of largest TracIn at the predictor's last linear layer (BYOL-TracIn).

    Attributes:
        scored: the view whose gradients are compared: "first", "second", or "both" (their TracIn
            values are added). The paper does not say which.
    """

    scored: Literal["first", "second", "both"] = "first"

    def __post_init__(self) -> None:
        if self.scored not in ("first", "second", "both"):
            raise ValueError(
                f"TracInPositive: scored must be first, second or both, got {self.scored!r}"
            )

    def scores(self, evidence: Evidence) -> Float[Array, "batch batch"]:
        """TracIn of each pair of images, up to the factor of the learning rate."""

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
    """The other image of largest feature cosine (the paper's FS), between first views.

    The paper does not say which views.
    """

    def scores(self, evidence: Evidence) -> Float[Array, "batch batch"]:
        """Cosines of each pair of images."""
        return _cosines(evidence.features[0], evidence.features[0])

    def weights(self, evidence: Evidence, key: Key[Array, ""]) -> Float[Array, "batch batch"]:
        return _largest(self.scores(evidence))


@dataclasses.dataclass(frozen=True)
class FalseNegatives:
    """FNC in a method without negatives: its false negatives are attracted.

    Each image's `most` other images of largest cosine, where that exceeds `threshold`, get equal
    weights that sum to 1 (an image may have none). The cosine is the largest over the pairs of
    views: a support set of two views, where FNC makes eight more.

    Source: Huynh et al., arXiv:2011.11765.
    """

    most: int = 10
    threshold: float = 0.7

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"FalseNegatives: most must be at least 1, got {self.most}")

    def scores(self, evidence: Evidence) -> Float[Array, "batch batch"]:
        """The largest cosine over the pairs of views, for each pair of images."""
        first, second = evidence.features
        across = _cosines(first, second)
        return jnp.stack([_cosines(first, first), across, across.T, _cosines(second, second)]).max(
            axis=0
        )

    def weights(self, evidence: Evidence, key: Key[Array, ""]) -> Float[Array, "batch batch"]:
        scores = _without_self(self.scores(evidence))
        best, place = jax.lax.top_k(scores, min(self.most, len(scores) - 1))
        taken = jnp.where(best > self.threshold, 1.0, 0.0)
        taken = taken / jnp.maximum(taken.sum(axis=1, keepdims=True), 1)
        return jnp.zeros_like(scores).at[jnp.arange(len(scores))[:, None], place].set(taken)


@dataclasses.dataclass(frozen=True)
class SameClass:
    """A uniformly drawn other image of the same class (the paper's BYOL-Sup, an upper bound).

    None if the batch has no other.
    """

    def scores(self, evidence: Evidence) -> Float[Array, "batch batch"]:
        """1 for pairs of one class, otherwise 0."""
        return same_class(_labels(evidence)).astype(jnp.float32)

    def weights(self, evidence: Evidence, key: Key[Array, ""]) -> Float[Array, "batch batch"]:
        alike = same_class(_labels(evidence))
        drawn = jnp.where(alike, jax.random.uniform(key, alike.shape), -jnp.inf)
        return _largest(drawn) * alike


Choice = TracInPositive | SimilarPositive | FalseNegatives | SameClass


def same_class(labels: Int[Array, " batch"]) -> Bool[Array, "batch batch"]:
    """Whether two different images have the same label.

    A negative label is unknown and equals no other.
    """
    alike = (labels[:, None] == labels) & (labels[:, None] >= 0)
    return alike & ~jnp.eye(len(labels), dtype=bool)


def _labels(evidence: Evidence) -> Int[Array, " batch"]:
    if evidence.labels is None:
        raise ValueError(
            "SameClass: the images have no labels; give the training set a column 'label'"
        )
    return evidence.labels


def _cosines(
    first: Float[Array, "batch width"], second: Float[Array, "batch width"]
) -> Float[Array, "batch batch"]:
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
            "an extra positive out of a (micro-)batch of one image: take a larger batch, or fewer "
            "micro-batches"
        )
    chosen = jnp.argmax(_without_self(scores), axis=1)
    return jax.nn.one_hot(chosen, len(scores), dtype=scores.dtype)
