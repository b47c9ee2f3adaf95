"""Average precision as Pascal VOC's of 2010 and later, and Kaggle's VinBigData contest by it."""

import dataclasses
import math

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int
from examine_jax.detection.metrics.matching import IGNORED, Overlap, match
from examine_jax.detection.metrics.paired import Paired
from examine_jax.labelled.boxes.box_set import BoxSet

NO_FINDING = "No finding"


@dataclasses.dataclass(frozen=True, eq=False)
class AveragePrecision:
    """Average precision of each class, in [0, 1].

    Attributes:
        mean: over the classes that have truth; NaN: there is none.
        class_ap: [C], NaN for a class without truth.
        num_truth: [C], the boxes of each class.
        classes: their names.
    """

    mean: float
    class_ap: Float[np.ndarray, " classes"]
    num_truth: Int[np.ndarray, " classes"]
    classes: tuple[str, ...]


def voc_average_precision(paired: Paired, *, overlap: float = 0.4) -> AveragePrecision:
    """The area under the whole interpolated curve of precision and recall, as VOC 2010's.

    A prediction is right if its overlap with the nearest box of its class exceeds `overlap` and no
    prediction with a better score has found that box. Equal scores keep their order.

    Source:
        Everingham et al., The PASCAL visual object classes challenge 2010, development kit.
    """
    found = match(paired, Overlap(overlap, strictly=True), nearest_alone=True)
    score, label = paired.predictions.score, paired.predictions.label
    assert score is not None
    values = np.full(len(paired.truth.classes), math.nan)
    for c in np.flatnonzero(paired.num_truth):
        rows = np.flatnonzero((label == c) & (found != IGNORED))
        rows = rows[np.argsort(-score[rows], kind="stable")]
        values[c] = area_under_curve(found[rows] >= 0, int(paired.num_truth[c]))
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if len(known) else math.nan
    return AveragePrecision(mean, values, paired.num_truth, paired.truth.classes)


def area_under_curve(right: Bool[np.ndarray, " n"], num_truth: int) -> float:
    """The area under interpolated precision, of predictions ordered by score."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    best_after = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best_after * right).sum() / num_truth)


def kaggle_average_precision(
    paired: Paired, no_finding: Float[np.ndarray, " images"] | None = None, *, overlap: float = 0.4
) -> AveragePrecision:
    """mAP@.4 of Kaggle's VinBigData contest, where "No finding" is one more class.

    In the contest's truth an image without findings has the box 0 0 1 1 of that class, and a
    submission writes the same box with a score.

    Args:
        paired: truth and predictions of the findings.
        no_finding: the score [I] of "No finding" for each image; NaN or -inf: the submission does
            not name it for this image. None: 1 for each image without any prediction.
        overlap: the overlap that a hit exceeds.

    Raises:
        ValueError: "No finding" is among the classes already, or there is not one score an image.
    """
    truth, predictions = paired.truth, paired.predictions
    if NO_FINDING in truth.classes:
        raise ValueError(
            f"{NO_FINDING!r} is among the classes: give the findings alone, it is added here"
        )
    if no_finding is None:
        no_finding = np.where(predictions.counts() == 0, 1.0, math.nan)
    if no_finding.shape != (len(truth.images),):
        raise ValueError(
            f"{list(no_finding.shape)} scores of {NO_FINDING!r} for {len(truth.images)} images: "
            "give one each"
        )
    named = np.flatnonzero(np.isfinite(no_finding))
    return voc_average_precision(
        Paired(
            _with_dummies(truth, np.flatnonzero(paired.negative), None),
            _with_dummies(predictions, named, no_finding[named]),
        ),
        overlap=overlap,
    )


def _with_dummies(
    boxes: BoxSet, images: Int[np.ndarray, " dummies"], score: np.ndarray | None
) -> BoxSet:
    count = len(images)
    return BoxSet(
        boxes.images,
        boxes.sizes,
        (*boxes.classes, NO_FINDING),
        np.concatenate([boxes.image, images]),
        np.concatenate([boxes.label, np.full(count, len(boxes.classes))]),
        np.concatenate([boxes.corners, np.tile([0.0, 0.0, 1.0, 1.0], (count, 1))]),
        None if score is None else np.concatenate([np.asarray(boxes.score), score]),
        crowd=None if boxes.crowd is None else np.concatenate([boxes.crowd, np.zeros(count, bool)]),
    )
