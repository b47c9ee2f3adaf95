"""What one detector of the study is worth."""

import dataclasses
import math
import pathlib
from typing import Any

import numpy as np

from examine_jax.detection.metrics import CocoSettings, MetricSettings, evaluate
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.studies.common import kept
from examine_jax.studies.detection.settings import DetectionStudySettings

WITH, WITHOUT, RANDOM = "self-supervision", "the same start alone", "random weights"
"""The rows: pre-trained from the start, the start as it is, no start. Where no start is given, the
last two are one, which is called RANDOM."""

_DETECTIONS = (100, 300, 1000)  # the paper's; recall is given at each


@dataclasses.dataclass(frozen=True, eq=False)
class RowResult:
    """One detector on the test images of a seed.

    Attributes:
        seed, share, row: the repetition, the labelled share, and the row.
        labelled: how many images were labelled.
        figures: as `measured` returns them; empty if the training diverged.
        training: steps, final_loss, seconds, cpu_seconds.
        folder: of the training; detections.npz holds the detections on the test images.
        diverged: why a training stopped, or None.
    """

    seed: int
    share: float
    row: str
    labelled: int
    figures: dict[str, Any]
    training: dict[str, Any]
    folder: pathlib.Path
    diverged: str | None = None

    def detections(self, truth: BoxSet) -> BoxSet:
        """The stored detections on the test images."""
        stored = kept.arrays(self.folder / "detections.npz", dict)
        return BoxSet(
            truth.images,
            truth.sizes,
            truth.classes,
            stored["image"],
            stored["label"],
            stored["corners"],
            score=stored["score"],
        )


def store(boxes: BoxSet) -> dict[str, np.ndarray]:
    """Detections as arrays."""
    assert boxes.score is not None
    return {
        "image": boxes.image,
        "label": boxes.label,
        "corners": boxes.corners,
        "score": boxes.score,
    }


def measured(
    truth: BoxSet,
    found: BoxSet,
    settings: DetectionStudySettings,
    groups: np.ndarray | None,
    seed: int,
) -> dict[str, Any]:
    """All figures of a row as plain values; None where there is no truth to measure against.

    Keys: ap, ap50, ap_small, ar and ar_small (without regard to classes, the paper's), class_ar,
    class_ap (by class), voc_map, cpm, image_auroc, false_alarms (per negative image, score .5),
    best_overlap, best_overlap_sd, matched_overlap, unmatched_share; and ap_low, ap_high where
    intervals are drawn.
    """
    side = settings.area_pixels
    metrics = evaluate(
        truth,
        found,
        MetricSettings(
            coco=CocoSettings(_DETECTIONS, measured_in=(side, side)),
            bootstrap_draws=settings.draws,
            seed=seed,
        ),
        groups=groups,
    )
    coco, placing = metrics.coco, metrics.localisation
    alarms = dict(zip(metrics.false_alarms.thresholds, metrics.false_alarms.per_image))
    figures: dict[str, Any] = {
        "ap": coco.ap,
        "ap50": coco.ap50,
        "ap_small": coco.ap_by_size[0],
        "ar": coco.class_agnostic_ar[0],
        "ar_small": coco.class_agnostic_ar_by_size[0],
        "class_ar": coco.ar[0],
        "voc_map": metrics.voc.mean,
        "cpm": metrics.froc.cpm,
        "image_auroc": metrics.image_auroc.auroc,
        "false_alarms": alarms.get(0.5, math.nan),
        "best_overlap": placing.best_mean,
        "best_overlap_sd": placing.best_deviation,
        "matched_overlap": placing.matched_mean,
        "unmatched_share": placing.unmatched_share,
    }
    if "ap" in metrics.intervals:
        figures["ap_low"], figures["ap_high"] = (
            metrics.intervals["ap"].low,
            metrics.intervals["ap"].high,
        )
    plain: dict[str, Any] = {name: _known(value) for name, value in figures.items()}
    plain["class_ap"] = {
        name: _known(value) for name, value in zip(truth.classes, coco.class_ap.tolist())
    }
    plain["negative_images"] = metrics.num_negative
    return plain


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
