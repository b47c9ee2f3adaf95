"""Measures on some images' features during a training: collapse, and accuracy of their classes."""

import dataclasses

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from examine_jax.common.shapes import Array, Int, PyTree, UInt8
from examine_jax.evaluation.feature_rank import feature_deviation, rank_me
from examine_jax.features.neighbours import knn_predict
from examine_jax.training.devices import replicate
from examine_jax.training.method import Method
from examine_jax.training.observer import Observe, Observer

_BATCH = 64


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureMonitor:
    """A fixed set of images whose features a training's observer measures.

    The measures are "feature_deviation" (SimSiam's: 0 is collapse, 1/sqrt(features) an even
    spread), "rank_me" (the features' effective rank) and, with labels, "knn_accuracy": the accuracy
    on the odd images of the vote of their nearest even ones. They show whether something is
    learned, not how well it will serve: neighbours may come from one patient or slide.

    Attributes:
        images: uint8 [M, S, S, C] of the encoder's size; some hundreds, as each look embeds them
            all.
        labels: integers [M], or None. The training does not see them.
        every: number of steps between two looks.
        neighbours: how many neighbours vote; at most as many as there are even images.
    """

    images: UInt8[np.ndarray, "m size size channels"]
    labels: Int[np.ndarray, " labels"] | None = None
    every: int = 100
    neighbours: int = 20

    def __post_init__(self) -> None:
        if self.every < 1 or self.neighbours < 1:
            raise ValueError(
                f"FeatureMonitor: every and neighbours must be at least 1, got {self.every} and "
                f"{self.neighbours}"
            )
        if len(self.images) < 2:
            raise ValueError(
                f"FeatureMonitor: {len(self.images)} images show no spread; give some hundreds"
            )
        if self.labels is not None and len(self.labels) != len(self.images):
            raise ValueError(
                f"FeatureMonitor: {len(self.labels)} labels for {len(self.images)} images; give "
                "one each"
            )

    def observer(self, method: Method) -> Observer:
        """What a training of `method` takes as its observer.

        It computes on the devices that hold the parameters, and compiles at the first look.

        Raises:
            ValueError: the images are not of the encoder's size.
        """
        expected = (method.encoder.image_size, method.encoder.image_size, method.encoder.channels)
        if self.images.shape[1:] != expected:
            raise ValueError(
                f"FeatureMonitor: images are {self.images.shape[1:]}, the encoder takes "
                f"{expected}; resize them"
            )
        return Observer(self.every, _observe(self, method))


def _observe(monitor: FeatureMonitor, method: Method) -> Observe:
    count = len(monitor.images)
    padding = np.zeros((-count % _BATCH, *monitor.images.shape[1:]), np.uint8)
    batches = np.concatenate([monitor.images, padding]).reshape(
        -1, _BATCH, *monitor.images.shape[1:]
    )
    # Not one program with a loop over batches: convolutions inside a loop are slow on a CPU.
    embed = jax.jit(method.embed)

    def observe(done: int, params: PyTree, state: PyTree) -> dict[str, float]:
        rows = [np.asarray(embed(params, state, _beside(params, batch))) for batch in batches]
        features = np.concatenate(rows)[:count]
        found = {
            "feature_deviation": float(feature_deviation(features)),
            "rank_me": rank_me(features),
        }
        if monitor.labels is not None:
            found["knn_accuracy"] = _knn_accuracy(features, monitor.labels, monitor.neighbours)
        return found

    return observe


def _beside(params: PyTree, batch: UInt8[np.ndarray, "b size size channels"]) -> Array:
    """The batch on every device that holds the parameters."""
    sharding = getattr(jax.tree.leaves(params)[0], "sharding", None)
    if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh):
        placed: Array = replicate(sharding.mesh, batch)
    else:
        placed = jax.device_put(batch)
    return placed


def _knn_accuracy(features: np.ndarray, labels: np.ndarray, neighbours: int) -> float:
    classes, label = np.unique(labels, return_inverse=True)
    known, queries = features[::2], features[1::2]
    predicted = knn_predict(
        known,
        label[::2].astype(np.int32),
        queries,
        k=min(neighbours, len(known)),
        num_classes=len(classes),
    )
    return float(np.mean(predicted == label[1::2]))
