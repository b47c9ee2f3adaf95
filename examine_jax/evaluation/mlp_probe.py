"""The low-resource paper's probe: two layers on frozen features."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, Key, Num, PyTree
from examine_jax.evaluation.classifier_training import (
    Classifier,
    ClassifierTraining,
    train_classifier,
)
from examine_jax.models.classifier_head import PAPER_HEAD, ClassifierHead
from examine_jax.models.forward import init_network, run_network

PAPER_TRAINING = ClassifierTraining()


@dataclasses.dataclass(frozen=True)
class HeadOnFeatures:
    """A head trained on precomputed features."""

    head: ClassifierHead
    width: int
    num_classes: int

    def init(self, key: Key[Array, ""], fixed: PyTree) -> tuple[PyTree, PyTree]:
        return init_network(self.head.module(self.num_classes), key, jnp.zeros((1, self.width)))

    def logits(
        self,
        params: PyTree,
        batch_stats: PyTree,
        fixed: PyTree,
        inputs: Array,
        key: Key[Array, ""],
        *,
        train: bool,
    ) -> tuple[Float[Array, "b classes"], PyTree]:
        return run_network(
            self.head.module(self.num_classes), params, batch_stats, inputs, train=train
        )


def two_layer_probe(
    features: Num[Array | np.ndarray, "n d"],
    labels: Num[Array | np.ndarray, "n *classes"],
    *,
    num_classes: int,
    training: ClassifierTraining = PAPER_TRAINING,
    head: ClassifierHead = PAPER_HEAD,
) -> Classifier:
    """The low-resource paper's probe on frozen features [N, D]; the paper calls it linear.

    The head is D - 512 - batch norm - leaky ReLU - classes. It is trained for 100 epochs with Adam,
    whose learning rate is halved every 25 epochs. The features come from an encoder in evaluation
    mode. The paper's code instead leaves the encoder in training mode, so that its batch norms
    change with the labelled batches; this function does not copy that.

    Args:
        features: [N, D].
        labels: a class [N], or zeros and ones [N, classes] for several labels an image.
        num_classes: the number of classes.
        training: epochs, batch size, optimiser, schedule and seed.
        head: the head to train.

    Returns:
        The trained classifier.

    Raises:
        ValueError: a batch has one image, for which batch norm is undefined; or as
            `train_classifier`.
    """
    network = HeadOnFeatures(head, features.shape[1], num_classes)
    return train_classifier(network, {}, np.asarray(features), labels, training)
