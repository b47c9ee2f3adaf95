"""What a detector says of whole images: false alarms on negatives, and AUROC by the top score."""

import dataclasses
import math

import numpy as np
from sklearn.metrics import roc_auc_score

from examine_jax.common.shapes import Bool, Float, Int
from examine_jax.detection.metrics.paired import Paired

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


@dataclasses.dataclass(frozen=True, eq=False)
class FalseAlarms:
    """Predictions on images without any box. NaN: there is no such image.

    Attributes:
        thresholds: [T], the scores from which a prediction counts.
        per_image: [T], the mean number of predictions an image.
        share: [T], the share of images with at least one.
        class_per_image: [C, T], by the class that is predicted.
        num_images: the images without any box.
    """

    thresholds: tuple[float, ...]
    per_image: Float[np.ndarray, " thresholds"]
    share: Float[np.ndarray, " thresholds"]
    class_per_image: Float[np.ndarray, "classes thresholds"]
    num_images: int


@dataclasses.dataclass(frozen=True, eq=False)
class ImageAuroc:
    """How well an image's highest score tells images with boxes from those without.

    Attributes:
        auroc: of any class; NaN: all images have boxes, or none has.
        class_auroc: [C], of images with a box of this class by its highest score; NaN as above.
        num_positive: the images with any box.
        class_num_positive: [C].
        num_images: all images.
    """

    auroc: float
    class_auroc: Float[np.ndarray, " classes"]
    num_positive: int
    class_num_positive: Int[np.ndarray, " classes"]
    num_images: int


def false_alarms(paired: Paired, thresholds: tuple[float, ...] = THRESHOLDS) -> FalseAlarms:
    """Counts predictions on images without any box."""
    predictions, negative = paired.predictions, paired.negative
    assert predictions.score is not None
    num_images = int(negative.sum())
    per_image, share = (np.full(len(thresholds), math.nan) for _ in range(2))
    by_class = np.full((len(predictions.classes), len(thresholds)), math.nan)
    for t, threshold in enumerate(thresholds if num_images else ()):
        rows = negative[predictions.image] & (predictions.score >= threshold)
        per_image[t] = rows.sum() / num_images
        share[t] = len(np.unique(predictions.image[rows])) / num_images
        by_class[:, t] = np.bincount(predictions.label[rows], minlength=len(by_class)) / num_images
    return FalseAlarms(tuple(thresholds), per_image, share, by_class, num_images)


def image_auroc(paired: Paired) -> ImageAuroc:
    """AUROC of images by their highest score; an image without predictions is the lowest."""
    positive, score = image_scores(paired)
    values = [area_under_roc(has, top) for has, top in zip(positive.T, score.T)]
    return ImageAuroc(
        auroc=values[0],
        class_auroc=np.array(values[1:]),
        num_positive=int(positive[:, 0].sum()),
        class_num_positive=positive[:, 1:].sum(axis=0).astype(np.int64),
        num_images=len(positive),
    )


def image_scores(
    paired: Paired,
) -> tuple[Bool[np.ndarray, "images columns"], Float[np.ndarray, "images columns"]]:
    """(whether an image has a box, its highest score), [I, 1 + C]: of any class, and of each.

    Where nothing is predicted, the score is below all others by 1. Crowds count as boxes.
    """
    truth, predictions = paired.truth, paired.predictions
    assert predictions.score is not None
    shape = (len(truth.images), 1 + len(truth.classes))
    positive = np.zeros(shape, bool)
    positive[truth.image, 0] = positive[truth.image, 1 + truth.label] = True
    lowest = float(predictions.score.min()) - 1 if len(predictions) else 0.0
    score = np.full(shape, lowest)
    np.maximum.at(score[:, 0], predictions.image, predictions.score)
    np.maximum.at(score, (predictions.image, 1 + predictions.label), predictions.score)
    return positive, score


def area_under_roc(positive: Bool[np.ndarray, " n"], score: Float[np.ndarray, " n"]) -> float:
    """The area under the ROC curve; NaN if all are positive or none is."""
    if positive.all() or not positive.any():
        return math.nan
    return float(roc_auc_score(positive, score))
