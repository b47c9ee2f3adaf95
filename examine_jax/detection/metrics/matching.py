"""Which prediction finds which box of the truth: the rules of a hit, and greedy matching."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.detection.metrics.paired import Paired

FALSE, EXTRA, IGNORED = -1, -2, -3


@runtime_checkable
class HitRule(Protocol):
    """When a prediction lies well enough on a box of the truth."""

    def closeness(
        self, predicted: Float[np.ndarray, "n 4"], truth: Float[np.ndarray, "m 4"]
    ) -> Float[np.ndarray, "n m"]:
        """How close each pair is; -inf where it is no hit."""
        ...


@dataclasses.dataclass(frozen=True)
class Overlap:
    """A hit has at least this intersection over union.

    Attributes:
        least: the threshold.
        strictly: whether the overlap must exceed the threshold (Pascal VOC); else reach it (COCO).
    """

    least: float = 0.5
    strictly: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:
            raise ValueError(f"Overlap: least must be within 0 .. 1, got {self.least}")

    def closeness(
        self, predicted: Float[np.ndarray, "n 4"], truth: Float[np.ndarray, "m 4"]
    ) -> Float[np.ndarray, "n m"]:
        overlap = overlaps(predicted, truth)
        # COCO compares with at most 1 - 1e-10, so that equal boxes always reach 1.
        hit = overlap > self.least if self.strictly else overlap >= min(self.least, 1 - 1e-10)
        return np.where(hit & (overlap > 0), overlap, -np.inf)


@dataclasses.dataclass(frozen=True)
class CentreInside:
    """A hit has its centre inside the box of the truth, whose border belongs to it.

    Of several boxes around the centre, the one with the nearest centre counts.
    """

    def closeness(
        self, predicted: Float[np.ndarray, "n 4"], truth: Float[np.ndarray, "m 4"]
    ) -> Float[np.ndarray, "n m"]:
        centre = ((predicted[:, :2] + predicted[:, 2:]) / 2)[:, None]
        inside = ((truth[:, :2] <= centre) & (centre <= truth[:, 2:])).all(axis=2)
        distance = np.linalg.norm(centre - (truth[:, :2] + truth[:, 2:]) / 2, axis=2)
        return np.where(inside, -distance, -np.inf)


def overlaps(
    first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """The intersection over union of all pairs; 0 where both boxes are empty."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    sides = np.minimum(first[:, None, 2:], second[None, :, 2:]) - corner
    shared = np.where((sides > 0).all(axis=2), sides.prod(axis=2), 0.0)
    union = _areas(first)[:, None] + _areas(second)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def match(
    paired: Paired,
    rule: HitRule,
    *,
    by_class: bool = True,
    nearest_alone: bool = False,
) -> Int[np.ndarray, " predictions"]:
    """Gives each prediction, the best score first, the closest box that nothing has found yet.

    Equal scores keep the order of the predictions.

    Args:
        paired: truth and predictions.
        rule: what a hit is.
        by_class: whether only boxes of the prediction's own class can be hit.
        nearest_alone: whether a prediction can find only the box that is closest to it, found or
            not (Pascal VOC).

    Returns:
        For each prediction the row of the box that it finds, or FALSE: it hits none; EXTRA: it hits
        only boxes that predictions with better scores have found; IGNORED: it hits only crowds.
    """
    truth, predictions = paired.truth, paired.predictions
    found = np.full(len(predictions), FALSE, np.int64)
    score = predictions.score
    assert score is not None
    of_class = len(truth.classes) if by_class else 1
    key = predictions.image.astype(np.int64) * of_class
    truth_key = truth.image.astype(np.int64) * of_class
    if by_class:
        key, truth_key = key + predictions.label, truth_key + truth.label
    order = np.lexsort((-score, key))
    truth_order = np.argsort(truth_key, kind="stable")
    keys = np.intersect1d(key, truth_key)
    starts, ends = (np.searchsorted(key[order], keys, side=side) for side in ("left", "right"))
    truth_starts, truth_ends = (
        np.searchsorted(truth_key[truth_order], keys, side=side) for side in ("left", "right")
    )
    for i in range(len(keys)):
        rows = order[starts[i] : ends[i]]
        boxes = truth_order[truth_starts[i] : truth_ends[i]]
        closeness = rule.closeness(predictions.corners[rows], truth.corners[boxes])
        places = _greedy(closeness, paired.counted[boxes], nearest_alone)
        found[rows] = np.where(places >= 0, boxes[np.maximum(places, 0)], places)
    return found


def _greedy(
    closeness: Float[np.ndarray, "n m"], counted: np.ndarray, nearest_alone: bool
) -> Int[np.ndarray, " n"]:
    found = np.full(len(closeness), FALSE, np.int64)
    taken = np.zeros(len(counted), bool)
    for i in np.flatnonzero(np.isfinite(closeness).any(axis=1)):
        hit = np.isfinite(closeness[i])
        free = hit & counted if nearest_alone else hit & counted & ~taken
        if not free.any():
            found[i] = IGNORED if hit[~counted].any() else EXTRA
            continue
        values = np.where(free, closeness[i], -np.inf)
        place = len(values) - 1 - int(values[::-1].argmax())  # The last among ties, as COCO does.
        if taken[place]:
            found[i] = EXTRA
        else:
            found[i], taken[place] = place, True
    return found


def _areas(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]
