"""All metrics of a detector's predictions against the truth."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from examine_jax.common.shapes import Shaped
from examine_jax.detection.metrics.average_precision import (
    NO_FINDING,
    AveragePrecision,
    kaggle_average_precision,
    voc_average_precision,
)
from examine_jax.detection.metrics.coco import (
    SIZES,
    CocoMetrics,
    CocoSettings,
    coco_metrics,
)
from examine_jax.detection.metrics.froc_curve import Froc, FrocSettings, froc
from examine_jax.detection.metrics.image_level import (
    THRESHOLDS,
    FalseAlarms,
    ImageAuroc,
    false_alarms,
    image_auroc,
)
from examine_jax.detection.metrics.intervals import metric_intervals
from examine_jax.detection.metrics.paired import Paired
from examine_jax.detection.metrics.placing import Localisation, localisation
from examine_jax.evaluation.bootstrap import Interval
from examine_jax.labelled.boxes.box_set import BoxSet

NO_TRUTH = "no truth"


@dataclasses.dataclass(frozen=True)
class MetricSettings:
    """How predictions are measured.

    Attributes:
        coco: COCO's average precision and recall.
        froc: the FROC curve.
        voc_overlap: the overlap that a hit of Pascal VOC's average precision exceeds.
        alarm_thresholds: the scores from which predictions on negative images count.
        least_score: the score from which a prediction counts in `Localisation`.
        bootstrap_draws: draws of the intervals; 0: no intervals. Of one patient there are none.
        confidence: their coverage.
        seed: determines the draws.
    """

    coco: CocoSettings = dataclasses.field(default_factory=CocoSettings)
    froc: FrocSettings = dataclasses.field(default_factory=FrocSettings)
    voc_overlap: float = 0.4
    alarm_thresholds: tuple[float, ...] = THRESHOLDS
    least_score: float = 0.05
    bootstrap_draws: int = 0
    confidence: float = 0.95
    seed: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """What is known of a detector on a set of images. NaN: there is no truth to measure against.

    Attributes:
        settings: how it was measured.
        classes: the classes' names.
        num_images, num_negative: all images, and those without any box.
        num_predictions: all predictions.
        coco: COCO's average precision and recall.
        voc: average precision at `voc_overlap`, as Pascal VOC.
        kaggle: the same with "No finding" as a class, 1 for images without predictions; None where
            a class has this name already.
        froc: sensitivity against false positives an image.
        false_alarms: predictions on negative images.
        image_auroc: of images by their highest score.
        localisation: how well boxes are placed.
        intervals: by name, as `metric_intervals` gives them; empty if none were drawn.
    """

    settings: MetricSettings
    classes: tuple[str, ...]
    num_images: int
    num_negative: int
    num_predictions: int
    coco: CocoMetrics
    voc: AveragePrecision
    kaggle: AveragePrecision | None
    froc: Froc
    false_alarms: FalseAlarms
    image_auroc: ImageAuroc
    localisation: Localisation
    intervals: Mapping[str, Interval]

    def headline(self) -> dict[str, float]:
        """The metrics of all classes together, by name; NaN where there is no truth."""
        coco, percent = self.coco, f"{self.settings.voc_overlap:g}".removeprefix("0")
        limits = self.settings.coco.max_detections
        return {
            "ap": coco.ap,
            "ap50": coco.ap50,
            "ap75": coco.ap75,
            **{f"ap_{size}": float(x) for size, x in zip(SIZES, coco.ap_by_size)},
            **{f"ar@{limit}": float(x) for limit, x in zip(limits, coco.ar)},
            **{f"ar_{size}": float(x) for size, x in zip(SIZES, coco.ar_by_size)},
            **{
                f"class_agnostic_ar@{limit}": float(x)
                for limit, x in zip(limits, coco.class_agnostic_ar)
            },
            **{
                f"class_agnostic_ar_{size}": float(x)
                for size, x in zip(SIZES, coco.class_agnostic_ar_by_size)
            },
            f"voc_map@{percent}": self.voc.mean,
            f"kaggle_map@{percent}": math.nan if self.kaggle is None else self.kaggle.mean,
            "cpm": self.froc.cpm,
            **{
                f"sensitivity@{rate:g}": float(x)
                for rate, x in zip(self.settings.froc.false_positives, self.froc.sensitivity)
            },
            **{
                f"false_alarms@{threshold:g}": float(x)
                for threshold, x in zip(self.false_alarms.thresholds, self.false_alarms.per_image)
            },
            "image_auroc": self.image_auroc.auroc,
            "best_overlap": self.localisation.best_mean,
            "matched_overlap": self.localisation.matched_mean,
            "unmatched_share": self.localisation.unmatched_share,
        }

    def by_class(self) -> dict[str, dict[str, float | int | str]]:
        """For each class its metrics by name; "no truth" where there is none."""
        columns = {
            "boxes": self.coco.num_truth,
            "ap": self.coco.class_ap,
            "ap50": self.coco.class_ap50,
            "ap75": self.coco.class_ap75,
            **{f"ap_{size}": self.coco.class_ap_by_size[:, i] for i, size in enumerate(SIZES)},
            "ar": self.coco.class_ar,
            "voc_ap": self.voc.class_ap,
            "cpm": self.froc.class_cpm,
            "image_auroc": self.image_auroc.class_auroc,
            "best_overlap": self.localisation.class_best_mean,
        }
        return {
            name: {column: _or_no_truth(values[c].item()) for column, values in columns.items()}
            for c, name in enumerate(self.classes)
        }


def evaluate(
    truth: BoxSet,
    predictions: BoxSet,
    settings: MetricSettings | None = None,
    *,
    groups: Shaped[np.ndarray, " images"] | None = None,
) -> DetectionMetrics:
    """Measures predictions against the truth.

    Args:
        truth: the boxes to find. An image without boxes is a negative one.
        predictions: boxes with scores over the same images and classes; may be empty.
        settings: how it is measured.
        groups: the patient [I] of each image, for the intervals; None: each image is one.

    Raises:
        ValueError: images or classes differ, there is no image, predictions have no scores, a
            number is not finite, or a box ends before it begins; the message names the image.
    """
    settings = settings or MetricSettings()
    paired = Paired(truth, predictions)
    intervals: dict[str, Interval] = {}
    groups = np.arange(len(truth.images)) if groups is None else groups
    if settings.bootstrap_draws and len(np.unique(groups)) > 1:
        intervals = metric_intervals(
            paired,
            groups,
            seed=settings.seed,
            num_draws=settings.bootstrap_draws,
            confidence=settings.confidence,
            froc_settings=settings.froc,
            max_detections=settings.coco.max_detections[-1],
        )
    return DetectionMetrics(
        settings=settings,
        classes=truth.classes,
        num_images=len(truth.images),
        num_negative=int(paired.negative.sum()),
        num_predictions=len(predictions),
        coco=coco_metrics(paired, settings.coco),
        voc=voc_average_precision(paired, overlap=settings.voc_overlap),
        kaggle=None
        if NO_FINDING in truth.classes
        else kaggle_average_precision(paired, overlap=settings.voc_overlap),
        froc=froc(paired, settings.froc),
        false_alarms=false_alarms(paired, settings.alarm_thresholds),
        image_auroc=image_auroc(paired),
        localisation=localisation(paired, least_score=settings.least_score),
        intervals=intervals,
    )


def _or_no_truth(value: float | int) -> float | int | str:
    return NO_TRUTH if math.isnan(value) else value
