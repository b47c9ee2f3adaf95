"""Influence of the images that a classifier of this library was trained on."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, Num, PyTree
from examine_jax.evaluation.classifier_training import Classifier, Network
from examine_jax.evaluation.targets import summed_loss
from examine_jax.influence.whole_model import Checkpoint
from examine_jax.labelled.class_codes import class_codes


@dataclasses.dataclass(frozen=True)
class ClassifierLoss:
    """The cross-entropy of one example of a classifier in evaluation mode: a `Loss` of `classifier_checkpoints` and `labelled_examples`."""

    network: Network

    def __call__(self, params: PyTree, example: dict[str, Array], constants: dict[str, PyTree]) -> Float[Array, ""]:
        logits, _ = self.network.logits(
            params,
            constants["batch_stats"],
            constants["fixed"],
            example["input"][None],
            jax.random.key(0),
            train=False,
        )
        return summed_loss(logits, example["label"][None], jnp.ones(1))


def classifier_checkpoints(classifier: Classifier) -> list[Checkpoint]:
    """The epochs that `ClassifierTraining.kept_epochs` kept, as `tracin` takes them with `ClassifierLoss(classifier.network)`.

    Raises:
      ValueError: none was kept.
    """
    if not classifier.kept:
        raise ValueError(
            "the classifier kept no epoch of its training: train it with ClassifierTraining(kept_epochs=...)"
        )
    return [
        Checkpoint(kept.params, kept.learning_rate, {"batch_stats": kept.batch_stats, "fixed": classifier.fixed})
        for kept in classifier.kept
    ]


def labelled_examples(
    inputs: Any, labels: Num[Array | np.ndarray, "n *classes"], *, num_classes: int
) -> dict[str, np.ndarray]:
    """Examples of `ClassifierLoss`: features or images [N, ...] with their labels, as the classifier was trained on.

    A class may have no image here: one test image is enough.

    Raises:
      ValueError: not one label a row, or one outside the classes.
    """
    inputs, labels = np.asarray(inputs), np.asarray(labels)
    if labels.ndim == 1:
        return {"input": inputs, "label": class_codes(labels, len(inputs), num_classes)}
    if labels.shape != (len(inputs), num_classes) or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"labels {list(labels.shape)} for {len(inputs)} rows: give zeros and ones [{len(inputs)}, {num_classes}], "
            f"or one class a row, [{len(inputs)}]"
        )
    return {"input": inputs, "label": labels.astype(np.float32)}
