"""Wrong labels made at random, and how well a score finds them."""

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int


def flip_labels(
    labels: Int[np.ndarray, " n"], *, share: float, num_classes: int, seed: int
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Replaces round(share * N) labels by another class, drawn uniformly.

    Args:
        labels: [N], from 0 to num_classes - 1.
        share: of the labels to replace, in [0, 1].
        num_classes: at least two.
        seed: of the draw.

    Returns:
        The new labels [N], and which of them were replaced [N].

    Raises:
        ValueError: share is outside [0, 1], or there are fewer than two classes.
    """
    if not 0 <= share <= 1 or num_classes < 2:
        raise ValueError(
            f"share {share} must lie in [0, 1], and there must be two classes at least, got "
            f"{num_classes}"
        )
    rng = np.random.default_rng(seed)
    flipped = np.zeros(len(labels), bool)
    flipped[rng.choice(len(labels), round(share * len(labels)), replace=False)] = True
    other = (labels + rng.integers(1, num_classes, len(labels))) % num_classes
    return np.where(flipped, other, labels), flipped


def precision_at(
    score: Float[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], *, share: float
) -> float:
    """The share of wrong labels among the round(share * N) images of highest score.

    At least one image is taken; of equal scores the first.

    Args:
        score: [N], higher for images that are more likely to have a wrong label.
        wrong: [N], whether an image's label is wrong.
        share: of the images to take, in (0, 1].

    Raises:
        ValueError: there is no image, share is outside (0, 1], or a score is NaN.
    """
    if not len(score) or not 0 < share <= 1:
        raise ValueError(
            f"precision of {len(score)} images at share {share}: give one image at least and a "
            "share in (0, 1]"
        )
    if np.isnan(score).any():
        raise ValueError(
            f"the score is nan in rows {np.flatnonzero(np.isnan(score))[:8].tolist()}: leave these "
            "images out"
        )
    first = np.argsort(-score, kind="stable")[: max(1, round(share * len(score)))]
    return float(wrong[first].mean())
