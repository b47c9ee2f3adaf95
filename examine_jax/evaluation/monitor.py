"""Looking at a run while it goes on: do features collapse, do they tell classes apart? Nothing that is seen reaches the training."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from examine_jax.common.shapes import Int, PyTree, UInt8
from examine_jax.evaluation.feature_rank import feature_deviation, rank_me
from examine_jax.features.neighbours import knn_predict
from examine_jax.training.devices import on_each, place_on_each
from examine_jax.training.method import Method

_BATCH = 64

Look = Callable[[int, PyTree, PyTree], dict[str, float]]
"""look(steps done, params, state) -> what is seen, by name; nothing where no look is due."""


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureMonitor:
    """A fixed set of images whose features are looked at every so many steps, and at the last one.

    Records of these steps gain "feature_deviation" (SimSiam's: 0 is collapse, 1/sqrt(features) an even spread), "rank_me" (the features'
    effective rank) and, with labels, "knn_accuracy": of the odd images, told by their nearest even ones. It shows whether something is
    learned, not how well it will serve: neighbours may be of one patient or slide.

    Attributes:
        images: uint8 [M, S, S, C] of the encoder's size; some hundreds, as each look embeds them all.
        labels: integers [M], or None. They are for watching alone.
        every: steps.
        neighbours: that vote for a class; at most as many as there are even images.
    """

    images: UInt8[np.ndarray, "m size size channels"]
    labels: Int[np.ndarray, " labels"] | None = None
    every: int = 100
    neighbours: int = 20

    def __post_init__(self) -> None:
        if self.every < 1 or self.neighbours < 1:
            raise ValueError(
                f"FeatureMonitor: every and neighbours must be at least 1, got {self.every} and {self.neighbours}"
            )
        if len(self.images) < 2:
            raise ValueError(f"FeatureMonitor: {len(self.images)} images show no spread; give some hundreds")
        if self.labels is not None and len(self.labels) != len(self.images):
            raise ValueError(f"FeatureMonitor: {len(self.labels)} labels for {len(self.images)} images; give one each")

    def steps_until_look(self, done: int) -> int:
        """How many steps after `done` of them the next look is due."""
        return self.every - done % self.every


def make_look(method: Method, watching: FeatureMonitor, steps: int, mesh: Mesh) -> Look:
    """What a run of so many steps calls after each; it computes on the devices of a mesh and is compiled at the first look.

    Raises:
        ValueError: images of another size than the encoder's.
    """
    expected = (method.encoder.image_size, method.encoder.image_size, method.encoder.channels)
    if watching.images.shape[1:] != expected:
        raise ValueError(
            f"FeatureMonitor: images are {watching.images.shape[1:]}, the encoder takes {expected}; resize them"
        )
    count = len(watching.images)
    padding = np.zeros((-count % _BATCH, *expected), np.uint8)
    batches = np.concatenate([watching.images, padding]).reshape(-1, _BATCH, *expected)
    on_devices = [place_on_each(mesh, batch) for batch in batches]
    # Not one program with a loop over batches: convolutions inside a loop are slow on a CPU.
    embed = jax.jit(method.embed, out_shardings=on_each(mesh))

    def look(done: int, params: PyTree, state: PyTree) -> dict[str, float]:
        if done % watching.every and done < steps:
            return {}
        features = np.concatenate([np.asarray(embed(params, state, batch)) for batch in on_devices])[:count]
        seen = {"feature_deviation": float(feature_deviation(features)), "rank_me": rank_me(features)}
        if watching.labels is not None:
            seen["knn_accuracy"] = _knn_accuracy(features, watching.labels, watching.neighbours)
        return seen

    return look


def _knn_accuracy(features: np.ndarray, labels: np.ndarray, neighbours: int) -> float:
    classes, label = np.unique(labels, return_inverse=True)
    known, asked = features[::2], features[1::2]
    predicted = knn_predict(
        known, label[::2].astype(np.int32), asked, k=min(neighbours, len(known)), num_classes=len(classes)
    )
    return float(np.mean(predicted == label[1::2]))
