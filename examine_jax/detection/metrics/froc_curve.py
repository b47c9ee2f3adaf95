"""FROC: sensitivity for boxes against false positives an image, as radiologists read detectors."""

import dataclasses
import math
from typing import Literal

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.detection.metrics.matching import EXTRA, FALSE, HitRule, Overlap, match
from examine_jax.detection.metrics.paired import Paired


@dataclasses.dataclass(frozen=True)
class FrocSettings:
    """How a FROC curve is drawn.

    Attributes:
        hit: when a prediction finds a box: `Overlap(.5)`, a lower overlap, or `CentreInside()`.
        false_positives: the numbers of false positives an image at which sensitivity is read.
        extra: what a prediction is that hits only boxes found already: "neither" hit nor false
            positive (LUNA16, CAMELYON16), or a "false_positive".
        images: the images whose false positives are counted, and by whose number they are divided:
            "all", or the "negative" ones alone.
        between: sensitivity between two points of the curve: "step", the best one that stays within
            the false positives; "linear", interpolated (LUNA16, CAMELYON16).
        by_class: whether only boxes of the prediction's own class can be hit.
    """

    hit: HitRule = dataclasses.field(default_factory=Overlap)
    false_positives: tuple[float, ...] = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
    extra: Literal["neither", "false_positive"] = "neither"
    images: Literal["all", "negative"] = "all"
    between: Literal["step", "linear"] = "step"
    by_class: bool = True

    def __post_init__(self) -> None:
        if not self.false_positives or min(self.false_positives) < 0:
            raise ValueError(
                "FrocSettings: false_positives must be one or more numbers from 0, got "
                f"{self.false_positives}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Froc:
    """FROC curves. NaN: there is no box to find, or no image whose false positives count.

    Attributes:
        sensitivity: [R], the share of boxes found, of all classes together, at each of the
            settings' `false_positives`, which count all classes' too.
        cpm: the mean of `sensitivity` (competition performance metric).
        class_sensitivity: [C, R], of each class with its own false positives.
        class_cpm: [C].
        threshold, curve_false_positives, curve_sensitivity: [P], the curve of all classes together:
            its first point is above all scores; the next ones are at each score, descending.
        num_truth: [C], the boxes to find.
        num_images: the number of images that false positives are divided by.
    """

    sensitivity: Float[np.ndarray, " rates"]
    cpm: float
    class_sensitivity: Float[np.ndarray, "classes rates"]
    class_cpm: Float[np.ndarray, " classes"]
    threshold: Float[np.ndarray, " points"]
    curve_false_positives: Float[np.ndarray, " points"]
    curve_sensitivity: Float[np.ndarray, " points"]
    num_truth: Int[np.ndarray, " classes"]
    num_images: int


def froc(paired: Paired, settings: FrocSettings | None = None) -> Froc:
    """FROC curves of all classes together and of each.

    Source:
        Setio et al., arXiv:1612.08012 (LUNA16), for the rates and their mean.
    """
    settings = settings or FrocSettings()
    counter = FrocCounter.of(paired, settings)
    threshold, false_positives, sensitivity = counter.curve()
    rates = [counter.sensitivity(of_class=c) for c in range(len(paired.truth.classes))]
    pooled = counter.sensitivity()
    by_class = np.stack(rates)
    return Froc(
        sensitivity=pooled,
        cpm=float(pooled.mean()),
        class_sensitivity=by_class,
        class_cpm=by_class.mean(axis=1),
        threshold=threshold,
        curve_false_positives=false_positives,
        curve_sensitivity=sensitivity,
        num_truth=paired.num_truth,
        num_images=int(counter.counts_image.sum()),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class FrocCounter:
    """What a FROC curve needs of each image, so that images can be weighted, as by a bootstrap.

    Predictions are ordered by score, descending.

    Attributes:
        settings: of the curve.
        score: [N].
        image, label: [N].
        is_hit, is_false: [N], whether the prediction is a hit or a false positive that counts; it
            may be neither.
        truth: [I, C], the boxes to find.
        counts_image: [I], whether the image's false positives count.
    """

    settings: FrocSettings
    score: Float[np.ndarray, " n"]
    image: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    is_hit: np.ndarray
    is_false: np.ndarray
    truth: np.ndarray
    counts_image: np.ndarray

    @staticmethod
    def of(paired: Paired, settings: FrocSettings) -> "FrocCounter":
        """Matches predictions and boxes."""
        truth, predictions = paired.truth, paired.predictions
        assert predictions.score is not None
        found = match(paired, settings.hit, by_class=settings.by_class)
        order = np.argsort(-predictions.score, kind="stable")
        counts = paired.negative if settings.images == "negative" else np.ones_like(paired.negative)
        is_false = found == FALSE
        if settings.extra == "false_positive":
            is_false |= found == EXTRA
        is_false &= counts[predictions.image]
        boxes = np.zeros((len(truth.images), len(truth.classes)), np.int64)
        np.add.at(boxes, (truth.image[paired.counted], truth.label[paired.counted]), 1)
        return FrocCounter(
            settings,
            predictions.score[order],
            predictions.image[order],
            predictions.label[order],
            (found >= 0)[order],
            is_false[order],
            boxes,
            counts,
        )

    def curve(
        self, weights: np.ndarray | None = None, of_class: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(thresholds, false positives an image, sensitivities) of the curve's points.

        Args:
            weights: [I], how often each image counts; None: once.
            of_class: the class whose curve it is; None: all together.
        """
        weights = np.ones(len(self.truth)) if weights is None else np.asarray(weights, np.float64)
        mine = np.ones(len(self.score)) if of_class is None else self.label == of_class
        truth = self.truth.sum(axis=1) if of_class is None else self.truth[:, of_class]
        each = weights[self.image] * mine
        hits = np.cumsum(each * self.is_hit)
        false = np.cumsum(each * self.is_false)
        # Predictions of one score are one point.
        last = np.flatnonzero(np.append(self.score[1:] != self.score[:-1], True)[: len(self.score)])
        num_truth, num_images = weights @ truth, weights @ self.counts_image
        return (
            np.concatenate([[math.inf], self.score[last]]),
            np.concatenate([[0.0], false[last]]) / (num_images or math.nan),
            np.concatenate([[0.0], hits[last]]) / (num_truth or math.nan),
        )

    def sensitivity(
        self, weights: np.ndarray | None = None, of_class: int | None = None
    ) -> Float[np.ndarray, " rates"]:
        """The sensitivity at each of the settings' false positives an image; as `curve`."""
        _, false, sensitivity = self.curve(weights, of_class)
        rates = np.array(self.settings.false_positives)
        if np.isnan(sensitivity).any() or np.isnan(false).any():
            return np.full(len(rates), math.nan)
        if self.settings.between == "linear":
            return np.interp(rates, false, sensitivity)
        # A rounding of the division must not exclude the point that lies at the rate.
        return sensitivity[np.searchsorted(false, rates * (1 + 1e-12), side="right") - 1]
