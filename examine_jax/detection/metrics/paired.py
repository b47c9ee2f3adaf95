"""Truth and predictions over the same images and classes, checked once."""

import dataclasses
import functools

import numpy as np

from examine_jax.common.shapes import Bool, Int
from examine_jax.labelled.boxes.box_set import BoxSet


@dataclasses.dataclass(frozen=True, eq=False)
class Paired:
    """Checked boxes of the truth and of a detector.

    Attributes:
        truth, predictions: over the same images and classes.

    Raises:
        ValueError: there is no image or class; images or classes differ; predictions have no
            scores; a number is not finite, or a box ends before it begins. The message names the
            image.
    """

    truth: BoxSet
    predictions: BoxSet

    def __post_init__(self) -> None:
        truth, predictions = self.truth, self.predictions
        if not truth.images or not truth.classes:
            raise ValueError(
                f"{len(truth.images)} images and {len(truth.classes)} classes: metrics need at "
                "least one of each"
            )
        for what in ("images", "classes"):
            ours, theirs = getattr(truth, what), getattr(predictions, what)
            if ours != theirs:
                place = next(
                    (i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b),
                    min(len(ours), len(theirs)),
                )
                shown = [repr(x[place]) if place < len(x) else "nothing" for x in (ours, theirs)]
                raise ValueError(
                    f"truth and predictions differ in their {what} at place {place}: {shown[0]} "
                    f"and {shown[1]} ({len(ours)} and {len(theirs)} in all); give both the same, "
                    "in the same order"
                )
        if predictions.score is None:
            raise ValueError("the predictions have no scores")
        for name, boxes in (("truth", truth), ("prediction", predictions)):
            values = boxes.corners
            if boxes.score is not None:
                values = np.concatenate([values, boxes.score[:, None]], axis=1)
            _refuse(boxes, ~np.isfinite(values).all(axis=1), name, "is not finite")
            sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
            _refuse(boxes, np.min(sides, axis=1) < 0, name, "ends before it begins")

    @functools.cached_property
    def counted(self) -> Bool[np.ndarray, " truths"]:
        """Which boxes of the truth are to be found: those that are no crowds."""
        crowd = self.truth.crowd
        return np.ones(len(self.truth), bool) if crowd is None else ~crowd

    @functools.cached_property
    def num_truth(self) -> Int[np.ndarray, " classes"]:
        """The number of boxes of each class, without crowds."""
        return np.bincount(
            self.truth.label[self.counted], minlength=len(self.truth.classes)
        ).astype(np.int64)

    @functools.cached_property
    def negative(self) -> Bool[np.ndarray, " images"]:
        """Which images have no box at all."""
        return self.truth.counts() == 0


def _refuse(boxes: BoxSet, bad: Bool[np.ndarray, " boxes"], name: str, what: str) -> None:
    rows = np.flatnonzero(bad)
    if not len(rows):
        return
    row = rows[0]
    score = "" if boxes.score is None else f", score {boxes.score[row]:g}"
    raise ValueError(
        f"{len(rows)} boxes of the {name} cannot be measured; the first, of image "
        f"{boxes.images[boxes.image[row]]!r}, {what}: {boxes.corners[row].tolist()}{score}; leave "
        "such boxes out"
    )
