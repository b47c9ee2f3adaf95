"""COCO's average precision and recall of weighted images, for bootstraps: matched once."""

import dataclasses
import math

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.detection.metrics.matching import overlaps
from examine_jax.detection.metrics.paired import Paired

# As COCO has them, rounding and all.
OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMatches:
    """The predictions of one class, the best score first.

    Attributes:
        image: [N].
        right, wrong: [10, N], at each overlap; a prediction on a crowd is neither.
        truth: [I], the boxes of each image.
    """

    image: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    truth: np.ndarray

    def of_weighted(
        self, weights: Float[np.ndarray, " images"]
    ) -> tuple[Float[np.ndarray, " 10"], Float[np.ndarray, " 10"]]:
        """(average precision, recall) [10] where each image counts `weights` times.

        NaN: there is no box to find.
        """
        number = weights @ self.truth
        if not number:
            return np.full(len(OVERLAPS), math.nan), np.full(len(OVERLAPS), math.nan)
        each = weights[self.image]
        hits, false = ((each * x).cumsum(axis=1) for x in (self.right, self.wrong))
        recall = hits / number
        precision = hits / (hits + false + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        precision = np.append(precision, np.zeros((len(OVERLAPS), 1)), axis=1)
        average = [
            row[np.searchsorted(reached, RECALLS, side="left")].mean()
            for row, reached in zip(precision, recall)
        ]
        best = recall[:, -1] if recall.shape[1] else np.zeros(len(OVERLAPS))
        return np.array(average), best


def coco_matches(
    paired: Paired, *, by_class: bool = True, max_detections: int = 100
) -> tuple[ClassMatches, ...]:
    """Matches predictions and boxes as COCO does, for each class, or for all classes as one."""
    truth, predictions = paired.truth, paired.predictions
    assert predictions.score is not None
    of_class = len(truth.classes) if by_class else 1
    label = predictions.label if by_class else np.zeros_like(predictions.label)
    truth_label = truth.label if by_class else np.zeros_like(truth.label)
    result = []
    for c in range(of_class):
        images, right, wrong, scores = [], [], [], []
        boxes = np.zeros(len(truth.images))
        for image in range(len(truth.images)):
            rows, own = predictions.of_image(image), truth.of_image(image)
            rows, own = rows[label[rows] == c], own[truth_label[own] == c]
            rows = rows[np.argsort(-predictions.score[rows], kind="stable")][:max_detections]
            counted = paired.counted[own]
            boxes[image] = counted.sum()
            hit, ignored = _greedy(predictions.corners[rows], truth.corners[own], counted)
            images.append(np.full(len(rows), image))
            scores.append(predictions.score[rows])
            right.append(hit)
            wrong.append(~hit & ~ignored)
        order = np.argsort(-np.concatenate(scores), kind="stable")
        result.append(
            ClassMatches(
                np.concatenate(images)[order],
                np.concatenate(right, axis=1)[:, order],
                np.concatenate(wrong, axis=1)[:, order],
                boxes,
            )
        )
    return tuple(result)


def weighted_average_precision(
    matches: tuple[ClassMatches, ...], weights: Float[np.ndarray, " images"]
) -> tuple[float, float, float]:
    """(AP, AP at overlap .5, AR), means over the classes that have boxes; NaN: none has."""
    values = np.array([x.of_weighted(weights) for x in matches])  # [classes, 2, 10]
    known = values[~np.isnan(values[:, 0, 0])]
    if not len(known):
        return math.nan, math.nan, math.nan
    return float(known[:, 0].mean()), float(known[:, 0, 0].mean()), float(known[:, 1].mean())


def _greedy(
    predicted: Float[np.ndarray, "n 4"], truth: Float[np.ndarray, "m 4"], counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(right, on a crowd alone) [10, N] of predictions ordered by score."""
    shape = (len(OVERLAPS), len(predicted))
    right, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    if not len(truth):
        return right, ignored
    overlap = overlaps(predicted, truth)
    if not counted.all():
        # Of a crowd, the share of the prediction that lies in it counts.
        sides = predicted[:, 2:] - predicted[:, :2]
        area = (sides[:, 0] * sides[:, 1])[:, None]
        corner = np.maximum(predicted[:, None, :2], truth[None, :, :2])
        shared = np.maximum(np.minimum(predicted[:, None, 2:], truth[None, :, 2:]) - corner, 0)
        share = np.divide(shared.prod(axis=2), area, out=np.zeros_like(overlap), where=area > 0)
        overlap = np.where(counted, overlap, share)
    least = np.minimum(OVERLAPS, 1 - 1e-10)[:, None]
    taken = np.zeros((len(OVERLAPS), len(truth)), bool)
    each = np.arange(len(OVERLAPS))
    for i in np.flatnonzero((overlap >= least[0]).any(axis=1)):
        reached = overlap[i] >= least
        values = np.where(reached & counted & ~taken, overlap[i], -1.0)
        place = len(truth) - 1 - values[:, ::-1].argmax(axis=1)
        hit = values[each, place] >= 0
        right[:, i] = hit
        taken[each[hit], place[hit]] = True
        ignored[:, i] = ~hit & (reached & ~counted).any(axis=1)
    return right, ignored
