"""Fine-tuning: an encoder trained further on labels, with a head; the encoder may be frozen."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import Array, Float, Key, Num, PyTree
from examine_jax.encoders.encoder import Encoder
from examine_jax.evaluation.classifier_training import (
    Classifier,
    ClassifierTraining,
    train_classifier,
)
from examine_jax.models.classifier_head import LINEAR_HEAD, ClassifierHead
from examine_jax.models.forward import init_network, run_network
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import EncoderConfig
from examine_jax.training.optimiser import AdamW, WarmupCosine

Augmentation = Callable[[Key[Array, ""], Array], Array]
"""(key, images) -> images of the encoder's size: any augmentation of images/augmentation."""

FINE_TUNING = ClassifierTraining(
    epochs=50, batch_size=64, optimiser=AdamW(), schedule=WarmupCosine(1e-3)
)


@dataclasses.dataclass(frozen=True)
class EncoderAndHead:
    """An encoder and a head: images to logits.

    Attributes:
        encoder: the encoder's configuration.
        pixels: scales pixel values in [0, 1] for the encoder.
        head: turns the features into logits.
        num_classes: the number of logits.
        augmentation: applied to training images; None leaves them as they are.
        frozen: whether the encoder stays unchanged. It then runs in evaluation mode during training
            too, so its batch norms do not change either.
    """

    encoder: EncoderConfig
    pixels: PixelScale
    head: ClassifierHead
    num_classes: int
    augmentation: Augmentation | None
    frozen: bool

    def init(self, key: Key[Array, ""], fixed: PyTree) -> tuple[PyTree, PyTree]:
        """The head's initial parameters and, unless it is frozen, the encoder's from `fixed`."""
        features = jnp.zeros((1, self.encoder.features))
        params, stats = init_network(self.head.module(self.num_classes), key, features)
        if self.frozen:
            return {"head": params}, {"head": stats}
        # Copies: the training step overwrites its arguments.
        start = on_device(fixed)
        return {"encoder": start["params"], "head": params}, {
            "encoder": start["batch_stats"],
            "head": stats,
        }

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
        images = (
            self.augmentation(key, inputs) if train and self.augmentation is not None else inputs
        )
        size = self.encoder.image_size
        if images.shape[1:] != (size, size, self.encoder.channels):
            raise ValueError(
                f"images are {images.shape[1:]} (height, width, channels), the encoder takes "
                f"{(size, size, self.encoder.channels)}; "
                "resize them first, or crop in the augmentation"
            )
        module, scaled = self.encoder.module(), self.pixels(images)
        if self.frozen:
            features, _ = run_network(
                module, fixed["params"], fixed["batch_stats"], scaled, train=False
            )
            stats = {}
        else:
            features, encoder_stats = run_network(
                module, params["encoder"], batch_stats["encoder"], scaled, train=train
            )
            stats = {"encoder": encoder_stats}
        head = self.head.module(self.num_classes)
        logits, head_stats = run_network(
            head, params["head"], batch_stats["head"], features, train=train
        )
        return logits, {**stats, "head": head_stats}


def fine_tune(
    encoder: Encoder,
    images: Any,
    labels: Num[Array | np.ndarray, "n *classes"],
    *,
    num_classes: int,
    training: ClassifierTraining = FINE_TUNING,
    head: ClassifierHead = LINEAR_HEAD,
    augmentation: Augmentation | None = None,
    frozen: bool = False,
) -> Classifier:
    """Trains an encoder with a head on labelled images.

    The given encoder is not changed.

    Args:
        encoder: from `load_encoder` or a pretraining run.
        images: uint8 [N, H, W, C], or anything with len() that gives such images for int32 indices.
            They have the encoder's size, unless the augmentation changes it to that size.
        labels: a class [N], or zeros and ones [N, classes] for several labels an image.
        num_classes: the number of classes.
        training: epochs, batch size, optimiser, schedule and seed.
        head: the head on the encoder's features.
        augmentation: applied to training images: a hashable value, called with (key, images).
        frozen: whether only the head is trained, with the encoder in evaluation mode. This is a
            probe that may be trained on augmented images.

    Returns:
        The trained classifier.

    Raises:
        ValueError: the images do not have the encoder's size; or as `train_classifier`.
    """
    method: Any = encoder.method  # its field `pixels` is not part of the protocol `Method`
    network = EncoderAndHead(method.encoder, method.pixels, head, num_classes, augmentation, frozen)
    fixed = {
        "params": encoder.params["encoder"],
        "batch_stats": _batch_stats(encoder.state),
    }
    classifier = train_classifier(network, fixed, images, labels, training)
    # After full fine-tuning the classifier does not need the initial encoder.
    return classifier if frozen else dataclasses.replace(classifier, fixed={})


def _batch_stats(state: PyTree) -> PyTree:
    """The encoder's batch statistics; {} if it has no batch norm or the method has no state."""
    return state.get("batch_stats", {}).get("encoder", {})
