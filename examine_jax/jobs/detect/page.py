"""The page of detections: pictures, and where the truth is known, metrics and the worst misses."""

import math
import pathlib

import numpy as np

from examine_jax.common.configuration import to_plain
from examine_jax.common.shapes import Int
from examine_jax.detection.metrics import DetectionMetrics, Overlap, Paired
from examine_jax.detection.metrics.matching import match
from examine_jax.jobs.detect.detect import DetectedBoxes, DetectSettings
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.reporting.charts.boxes import boxes_on_images
from examine_jax.reporting.charts.froc import froc_chart
from examine_jax.reporting.page import (
    PATIENTS_PIXELS,
    Illustration,
    Report,
    Table,
    package_versions,
    write_report,
)

_SHOWN = 16
_CONFIDENT = 0.5  # detections that the pictures show
_NAMES = {
    "ap": "AP (IoU .50 to .95)",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP, boxes below 32 x 32 px",
    "ap_medium": "AP, up to 96 x 96 px",
    "ap_large": "AP, larger",
    "ar@100": "AR, 100 detections",
    "class_agnostic_ar@100": "AR, 100 detections, any class",
    "voc_map@.4": "Pascal VOC mAP, IoU > .4",
    "kaggle_map@.4": "the same with 'No finding' as a class",
    "cpm": "FROC: mean sensitivity at 1/8 to 8 false positives an image",
    "image_auroc": "AUROC: image with a box against image without",
    "matched_overlap": "mean IoU of matched boxes",
}


def write_page(settings: DetectSettings, found: DetectedBoxes, *, device: str) -> pathlib.Path:
    """Writes the page beside the file of detections.

    Raises:
        OSError: it cannot be written.
    """
    report = Report(
        title="Detections",
        headline=_headline(settings, found),
        summary=_summary(found, device),
        highest=(),
        lowest=(),
        figures=_figures(found),
        tables=_tables(found),
        skipped=found.skipped,
        warnings=_warnings(found),
        settings={
            "detector": to_plain(found.detector.method),
            "command": found.headers.plain(to_plain(settings)),
        },
        versions=package_versions(),
        privacy=PATIENTS_PIXELS,
    )
    write_report(settings.page, report)
    return settings.page


def _headline(settings: DetectSettings, found: DetectedBoxes) -> str:
    count, images = len(found.predictions), len(found.images)
    text = (
        f"{count} detections with a score of {settings.least_score:g} or more on {images} images; "
        f"{int((found.predictions.counts() == 0).sum())} images have none."
    )
    if found.metrics is not None:
        text += (
            f" Against {len(found.truth or ())} true boxes on {found.metrics.num_images} images: "
            f"AP50 {_number(found.metrics.coco.ap50)}, AP {_number(found.metrics.coco.ap)}."
        )
    return text


def _summary(found: DetectedBoxes, device: str) -> dict[str, str]:
    summary = {
        "images": str(len(found.images)),
        "detections": str(len(found.predictions)),
        "files skipped": str(len(found.images.skipped)),
        "device": device,
    }
    if found.metrics is not None:
        summary["AP50"] = _number(found.metrics.coco.ap50)
    return summary


def _figures(found: DetectedBoxes) -> tuple[Illustration, ...]:
    shown, caption = _worst(found)
    pixels = found.images.pixels[shown]
    height, width = pixels.shape[1:3]
    confident = found.predictions.take(_scores(found.predictions) >= _CONFIDENT)
    predictions = confident.select(shown.tolist()).scaled_to(height, width)
    truth = None
    if found.truth is not None:
        place = {image: row for row, image in enumerate(found.measured.tolist())}
        truth = found.truth.select([place[image] for image in shown.tolist()])
        truth = truth.scaled_to(height, width)
    pictures = Illustration(
        "Images with their boxes",
        boxes_on_images(pixels, truth, predictions),
        caption,
        "Images with boxes drawn on them",
    )
    if found.metrics is None:
        return (pictures,)
    curve = Illustration(
        "False positives and found boxes",
        froc_chart(found.metrics.froc),
        "Of all classes together; a detection finds a box at IoU .5 or more.",
        "FROC curve",
    )
    return pictures, curve


def _worst(found: DetectedBoxes) -> tuple[Int[np.ndarray, " shown"], str]:
    """The images to show and what they are: the worst misses first, or the first images."""
    solid = f"Detections with a score of {_CONFIDENT:g} or more are solid, with their scores"
    if found.truth is None:
        order = np.argsort(-found.predictions.counts(), kind="stable")[:_SHOWN]
        return order, f"{solid}. The images with the most detections."
    own = found.predictions.select(found.measured.tolist())
    own = own.take(_scores(own) >= _CONFIDENT)
    hits = match(Paired(found.truth, own), Overlap(0.5))
    missed = found.truth.counts() - np.bincount(
        own.image[hits >= 0], minlength=len(found.truth.images)
    )
    false = np.bincount(own.image[hits < 0], minlength=len(found.truth.images))
    order = np.lexsort((-false, -missed))[:_SHOWN]
    return (
        found.measured[order],
        f"{solid}; true boxes are dashed. The images with the most missed boxes come first.",
    )


def _scores(boxes: BoxSet) -> np.ndarray:
    assert boxes.score is not None
    return boxes.score


def _tables(found: DetectedBoxes) -> tuple[Table, ...]:
    counts = np.bincount(found.predictions.label, minlength=len(found.predictions.classes))
    images = [
        len(np.unique(found.predictions.image[found.predictions.label == label]))
        for label in range(len(counts))
    ]
    classes = Table(
        "Detections by class",
        ("class", "detections", "images"),
        tuple(
            (name, str(count), str(own))
            for name, count, own in zip(found.predictions.classes, counts.tolist(), images)
        ),
    )
    if found.metrics is None:
        return (classes,)
    return (classes, metrics_table(found.metrics), class_table(found.metrics))


def metrics_table(metrics: DetectionMetrics) -> Table:
    """The metrics of all classes together, with intervals where they were drawn."""
    rows = []
    headline = metrics.headline()
    for name, shown in _NAMES.items():
        if name not in headline:
            continue
        interval = metrics.intervals.get(name)
        bounds = "" if interval is None else f"{_number(interval.low)} to {_number(interval.high)}"
        rows.append((shown, _number(headline[name]), bounds))
    alarms = metrics.false_alarms
    for threshold, rate in zip(alarms.thresholds, alarms.per_image) if metrics.num_negative else ():
        shown = f"detections on an image without a box, score {threshold:g} or more"
        rows.append((shown, _number(float(rate)), ""))
    return Table(
        "Metrics",
        ("metric", "value", "95% interval"),
        tuple(rows),
        f"{metrics.num_images} images, {metrics.num_negative} of them without a box. Intervals: "
        "bootstrap over images, or over patients where groups are given.",
    )


def class_table(metrics: DetectionMetrics) -> Table:
    """The metrics of each class; "no truth" where it has no true box."""
    by_class = metrics.by_class()
    columns = ("boxes", "ap50", "ap", "ar", "cpm", "image_auroc")
    rows = tuple(
        (name, *(_cell(values[column]) for column in columns)) for name, values in by_class.items()
    )
    header = ("class", "true boxes", "AP50", "AP", "AR", "FROC mean", "image AUROC")
    return Table("Metrics by class", header, rows)


def _warnings(found: DetectedBoxes) -> tuple[str, ...]:
    warnings = list(found.images.notes)
    if found.whole is not found.predictions:
        warnings.append(
            f"The images are tiles of slides. The file has the {len(found.whole)} detections that "
            "are left on whole slides, in pixels of their finest level; of those that neighbouring "
            "tiles share, one is kept."
        )
    metrics = found.metrics
    if metrics is None:
        return tuple(warnings)
    counts = zip(metrics.classes, metrics.coco.num_truth)
    without = [name for name, count in counts if not count]
    if without:
        warnings.append(
            f"No measured image has a true box of {', '.join(without)}: not in the means."
        )
    return tuple(warnings)


def _cell(value: float | int | str) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return "no truth" if math.isnan(value) else f"{value:.3f}"
