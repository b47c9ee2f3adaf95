"""How well boxes are placed: the detection paper's best overlap, and one-to-one matched overlap."""

import dataclasses
import math

import numpy as np
from scipy.optimize import linear_sum_assignment

from examine_jax.common.shapes import Float
from examine_jax.detection.metrics.matching import overlaps
from examine_jax.detection.metrics.paired import Paired


@dataclasses.dataclass(frozen=True, eq=False)
class Localisation:
    """Overlaps of the truth's boxes with predictions of their class. NaN: there is no such box.

    Attributes:
        best_mean, best_deviation: of each box's largest overlap with any prediction, 0 where there
            is none (the detection paper's Table II). The choice is an oracle's: many predictions
            flatter it.
        class_best_mean: [C].
        matched_mean: the mean overlap of the boxes that are matched one to one.
        unmatched_share: the share of boxes that no prediction is matched to.
        num_truth: the boxes.
        num_matched: those that are matched.
        least_score: the score from which a prediction counts.
        least_overlap: what a matched pair's overlap exceeds.
    """

    best_mean: float
    best_deviation: float
    class_best_mean: Float[np.ndarray, " classes"]
    matched_mean: float
    unmatched_share: float
    num_truth: int
    num_matched: int
    least_score: float
    least_overlap: float


def localisation(
    paired: Paired, *, least_score: float = 0.05, least_overlap: float = 0.2
) -> Localisation:
    """Measures the overlap of boxes with predictions, class by class.

    Matched pairs are as many as can be; among those choices, the sum of overlaps is the largest.

    Args:
        paired: truth and predictions.
        least_score: predictions with lower scores are left out (the paper: .05).
        least_overlap: what a matched pair's overlap exceeds (the paper, for readers: .2).
    """
    truth, predictions = paired.truth, paired.predictions
    assert predictions.score is not None
    best = np.zeros(len(truth))
    matched: list[float] = []
    kept = predictions.score >= least_score
    for image in range(len(truth.images)):
        boxes = truth.of_image(image)
        boxes = boxes[paired.counted[boxes]]
        rows = predictions.of_image(image)
        rows = rows[kept[rows]]
        for c in np.intersect1d(truth.label[boxes], predictions.label[rows]):
            own = boxes[truth.label[boxes] == c]
            theirs = rows[predictions.label[rows] == c]
            overlap = overlaps(truth.corners[own], predictions.corners[theirs])
            best[own] = overlap.max(axis=1)
            # A pair weighs more than all overlaps together, so that pairs are as many as can be.
            weight = np.where(overlap > least_overlap, overlap + len(own), 0.0)
            pairs = linear_sum_assignment(weight, maximize=True)
            matched.extend(overlap[pairs][weight[pairs] > 0].tolist())
    counted = best[paired.counted]
    labels = truth.label[paired.counted]
    by_class = [counted[labels == c] for c in range(len(truth.classes))]
    number = len(counted)
    return Localisation(
        best_mean=float(counted.mean()) if number else math.nan,
        best_deviation=float(counted.std()) if number else math.nan,
        class_best_mean=np.array([x.mean() if len(x) else math.nan for x in by_class]),
        matched_mean=float(np.mean(matched)) if matched else math.nan,
        unmatched_share=1 - len(matched) / number if number else math.nan,
        num_truth=number,
        num_matched=len(matched),
        least_score=least_score,
        least_overlap=least_overlap,
    )
