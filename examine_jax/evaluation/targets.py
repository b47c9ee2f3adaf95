"""Labels as classifiers learn from them: one class an image, or several labels an image."""

import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit, softmax

from examine_jax.common.shapes import Array, Float, Num
from examine_jax.labelled.class_codes import class_codes


def as_targets(labels: Num[Array | np.ndarray, "n *classes"], num_classes: int) -> tuple[np.ndarray, bool]:
    """(targets, whether images have several labels): int32 [N] from classes [N], float32 [N, classes] from 0 and 1 [N, classes].

    Raises:
      ValueError: no image, a label outside the classes, or a class without an image, which no classifier can learn.
    """
    labels = np.asarray(labels)
    if not len(labels):
        raise ValueError("there is no labelled image to learn from")
    if labels.ndim == 1:
        labels = class_codes(labels, len(labels), num_classes)
        counts = np.bincount(labels, minlength=num_classes)
    else:
        if labels.shape[1:] != (num_classes,) or not np.isin(labels, (0, 1)).all():
            raise ValueError(
                f"labels {list(labels.shape)}: give zeros and ones [images, {num_classes}], or classes [images]"
            )
        counts = labels.sum(axis=0)
    absent = np.flatnonzero(counts == 0)
    if len(absent):
        raise ValueError(
            f"class {', '.join(map(str, absent[:8]))} has no training image; split so that every part has every class, or leave it out"
        )
    return (labels, False) if labels.ndim == 1 else (labels.astype(np.float32), True)


def summed_loss(
    logits: Float[Array, "b classes"], targets: Num[Array, "b *classes"], weights: Float[Array, " b"]
) -> Float[Array, ""]:
    """The weighted sum over images of the cross-entropy of their class, or of that of each label summed over labels."""
    if targets.ndim == 1:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    else:
        losses = optax.sigmoid_binary_cross_entropy(logits, targets).sum(axis=-1)
    return jnp.sum(losses * weights)


def probabilities(logits: Float[np.ndarray, "n classes"], multilabel: bool) -> Float[np.ndarray, "n classes"]:
    """Of each class; rows sum to 1 unless images have several labels."""
    return expit(logits) if multilabel else softmax(logits, axis=1)
