"""An encoder trained on with a classifier's head, whole or frozen."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, Key, Num, PyTree
from examine_jax.encoders.encoder import Encoder
from examine_jax.evaluation.classifier_head import LINEAR_HEAD, ClassifierHead
from examine_jax.evaluation.classifier_training import Classifier, ClassifierTraining, train_classifier
from examine_jax.models.forward import init_network, run_network
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.optimiser import AdamW, WarmupCosine

Augmentation = Callable[[Any, Any], Any]
"""(key, images) -> images of the encoder's size: any value of images/augmentation."""


FINE_TUNING = ClassifierTraining(epochs=50, batch_size=64, optimiser=AdamW(), schedule=WarmupCosine(1e-3))


@dataclasses.dataclass(frozen=True)
class EncoderAndHead:
    """Images to logits.

    Attributes:
      encoder: its configuration.
      pixels: how pixel values in [0, 1] are scaled before it sees them.
      head: what comes behind, with num_classes logits.
      augmentation: of training images; None: as they come.
      frozen: the encoder is never changed, nor are its batch norms: it runs in evaluation mode in training too.
    """

    encoder: Any
    pixels: PixelScale
    head: ClassifierHead
    num_classes: int
    augmentation: Augmentation | None
    frozen: bool

    def init(self, key: Key[Array, ""], fixed: PyTree) -> tuple[PyTree, PyTree]:
        """The head at its start and, unless it is frozen, the encoder as it is in `fixed`, which then serves for nothing else."""
        features = jnp.zeros((1, self.encoder.features))
        params, stats = init_network(self.head.module(self.num_classes), key, features)
        if self.frozen:
            return {"head": params}, {"head": stats}
        # Copies: the training step overwrites what it is given.
        start = jax.tree.map(jnp.array, fixed)
        return {"encoder": start["params"], "head": params}, {"encoder": start["batch_stats"], "head": stats}

    def logits(
        self, params: PyTree, batch_stats: PyTree, fixed: PyTree, inputs: Array, key: Key[Array, ""], *, train: bool
    ) -> tuple[Float[Array, "b classes"], PyTree]:
        images = self.augmentation(key, inputs) if train and self.augmentation is not None else inputs
        size = self.encoder.image_size
        if images.shape[1:] != (size, size, self.encoder.channels):
            raise ValueError(
                f"images are {images.shape[1:]} (height, width, channels), the encoder takes {(size, size, self.encoder.channels)}; "
                "resize them first, or crop in the augmentation"
            )
        module, scaled = self.encoder.module(), self.pixels(images)
        if self.frozen:
            features, _ = run_network(module, fixed["params"], fixed["batch_stats"], scaled, train=False)
            stats = {}
        else:
            features, encoder_stats = run_network(
                module, params["encoder"], batch_stats["encoder"], scaled, train=train
            )
            stats = {"encoder": encoder_stats}
        head = self.head.module(self.num_classes)
        logits, head_stats = run_network(head, params["head"], batch_stats["head"], features, train=train)
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
    """Trains an encoder on labelled images, with a head in front; the encoder that is handed in stays as it is.

    Args:
      encoder: as `load_encoder` or a pretraining run gives it.
      images: uint8 [N, H, W, C], or anything with len() and [int32 indices] that gives them; of the encoder's size, unless the
        augmentation brings them to it.
      labels: a class [N], or 0 and 1 [N, classes] for several labels an image.
      augmentation: of training images, a hashable value called with (key, images).
      frozen: only the head learns, and the encoder stays in evaluation mode: a probe on augmented images.

    Raises:
      ValueError: images of another size than the encoder's; and as `train_classifier`.
    """
    method: Any = encoder.method
    network = EncoderAndHead(method.encoder, method.pixels, head, num_classes, augmentation, frozen)
    fixed = {
        "params": encoder.params["encoder"],
        "batch_stats": _batch_stats(encoder.state),
    }
    classifier = train_classifier(network, fixed, images, labels, training)
    # The encoder before training is no part of a classifier that was trained whole.
    return classifier if frozen else dataclasses.replace(classifier, fixed={})


def _batch_stats(state: Any) -> PyTree:
    """The encoder's; {} where it has no batch norm, or the method no state."""
    return state.get("batch_stats", {}).get("encoder", {})
