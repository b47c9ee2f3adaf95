"""Classification targets and their loss: one class an image, or several labels an image."""

import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit, softmax

from examine_jax.common.shapes import Array, Float, Num
from examine_jax.labelled.class_codes import class_codes


def as_targets(
    labels: Num[Array | np.ndarray, "n *classes"], num_classes: int
) -> tuple[np.ndarray, bool]:
    """Checks labels and converts them into targets.

    Args:
        labels: a class [N], or zeros and ones [N, classes] for several labels an image.
        num_classes: the number of classes.

    Returns:
        The targets, int32 [N] or float32 [N, classes], and whether images have several labels.

    Raises:
        ValueError: there is no image, a label lies outside the classes, or a class has no image, so
            that no classifier can learn it.
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
                f"labels {list(labels.shape)}: give zeros and ones [images, {num_classes}], or "
                "classes [images]"
            )
        counts = labels.sum(axis=0)
    absent = np.flatnonzero(counts == 0)
    if len(absent):
        raise ValueError(
            f"class {', '.join(map(str, absent[:8]))} has no training image; split so that every "
            "part has every class, or leave it out"
        )
    return (labels, False) if labels.ndim == 1 else (labels.astype(np.float32), True)


def summed_loss(
    logits: Float[Array, "b classes"],
    targets: Num[Array, "b *classes"],
    weights: Float[Array, " b"],
) -> Float[Array, ""]:
    """The weighted sum of the images' cross-entropies; with several labels, summed over labels."""
    if targets.ndim == 1:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    else:
        losses = optax.sigmoid_binary_cross_entropy(logits, targets).sum(axis=-1)
    return jnp.sum(losses * weights)


def class_probabilities(
    logits: Float[np.ndarray, "n classes"], multilabel: bool
) -> Float[np.ndarray, "n classes"]:
    """The probability of each class; rows sum to 1 unless images have several labels."""
    return expit(logits) if multilabel else softmax(logits, axis=1)
