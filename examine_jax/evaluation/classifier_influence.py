"""Influence of training images on a classifier of this library, for `influence.tracin`."""

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
    """The cross-entropy of one example, with the classifier in evaluation mode.

    It is the loss to pass to `tracin` with `classifier_checkpoints` and `labelled_examples`.
    """

    network: Network

    def __call__(
        self, params: PyTree, example: dict[str, Array], constants: dict[str, PyTree]
    ) -> Float[Array, ""]:
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
    """The epochs kept by `ClassifierTraining.kept_epochs`, as checkpoints for `tracin`.

    Pass them with `ClassifierLoss(classifier.network)`.

    Raises:
        ValueError: the training kept no epoch.
    """
    if not classifier.kept:
        raise ValueError(
            "the classifier kept no epoch of its training: train it with "
            "ClassifierTraining(kept_epochs=...)"
        )
    return [
        Checkpoint(
            kept.params,
            kept.learning_rate,
            {"batch_stats": kept.batch_stats, "fixed": classifier.fixed},
        )
        for kept in classifier.kept
    ]


def labelled_examples(
    inputs: Any, labels: Num[Array | np.ndarray, "n *classes"], *, num_classes: int
) -> dict[str, np.ndarray]:
    """Examples for `ClassifierLoss`: features or images [N, ...] with their labels.

    A class may be absent, so one test image is enough.

    Args:
        inputs: what the classifier was trained on: features or images [N, ...].
        labels: a class [N], or zeros and ones [N, classes] for several labels an image.
        num_classes: the number of classes.

    Returns:
        The columns "input" and "label".

    Raises:
        ValueError: there is not one label a row, or a label lies outside the classes.
    """
    inputs, labels = np.asarray(inputs), np.asarray(labels)
    if labels.ndim == 1:
        return {"input": inputs, "label": class_codes(labels, len(inputs), num_classes)}
    if labels.shape != (len(inputs), num_classes) or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"labels {list(labels.shape)} for {len(inputs)} rows: give zeros and ones "
            f"[{len(inputs)}, {num_classes}], "
            f"or one class a row, [{len(inputs)}]"
        )
    return {"input": inputs, "label": labels.astype(np.float32)}
