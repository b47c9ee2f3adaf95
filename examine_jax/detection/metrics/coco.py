"""COCO's average precision and recall, by class and size, and recall without regard to classes."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

try:
    from faster_coco_eval import COCO, COCOeval_faster
except ImportError as missing:
    raise ImportError(
        f"detectors are measured by faster-coco-eval ({missing}); "
        "pip install 'examine-jax[assess,detect]'"
    ) from missing

from examine_jax.common.shapes import Float, Int
from examine_jax.detection.metrics.paired import Paired
from examine_jax.labelled.boxes.box_set import BoxSet, box_areas

SIZES = ("small", "medium", "large")


@dataclasses.dataclass(frozen=True)
class CocoSettings:
    """How COCO's metrics are computed.

    Attributes:
        max_detections: the numbers of detections an image and class, ascending. The last one is
            average precision's; average recall is given at each. The detection paper used (100,
            300, 1000).
        size_bounds: the areas in square pixels where medium and large boxes begin.
        measured_in: (height, width) to which all images are scaled before areas are taken; each
            axis has its own factor. None: boxes and areas are taken as they are. Only the results
            by size depend on it.
    """

    max_detections: tuple[int, ...] = (1, 10, 100)
    size_bounds: tuple[float, float] = (32.0**2, 96.0**2)
    measured_in: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        numbers = self.max_detections
        if not numbers or min(numbers) < 1 or list(numbers) != sorted(set(numbers)):
            raise ValueError(
                f"CocoSettings: max_detections must be ascending positive numbers, got {numbers}"
            )
        if not 0 < self.size_bounds[0] < self.size_bounds[1] < 1e10:
            raise ValueError(
                f"CocoSettings: size_bounds must ascend from above 0, got {self.size_bounds}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class CocoMetrics:
    """COCO's metrics, in [0, 1]. NaN: there is no box of the truth to find.

    A mean over classes leaves out classes without truth, as COCO does. "By size" is in the order of
    SIZES.

    Attributes:
        ap: average precision, the mean over overlaps .5, .55, …, .95 and classes.
        ap50, ap75: average precision at overlap .5 and .75.
        ap_by_size: [3].
        ar: [D], average recall at each of the settings' `max_detections`, the mean over classes.
        ar_by_size: [3], average recall at the last of `max_detections`.
        class_agnostic_ar, class_agnostic_ar_by_size: the same where a box of any class counts as
            found (COCO's useCats = 0). The detection paper's AR is this one.
        class_ap, class_ap50, class_ap75, class_ar: [C], of each class.
        class_ap_by_size, class_ar_by_size: [C, 3].
        num_truth: [C], the boxes of each class.
        num_truth_by_size: [C, 3].
        precision: [10, 101, C], at each overlap and at recalls 0, .01, …, 1.
    """

    ap: float
    ap50: float
    ap75: float
    ap_by_size: Float[np.ndarray, " 3"]
    ar: Float[np.ndarray, " detections"]
    ar_by_size: Float[np.ndarray, " 3"]
    class_agnostic_ar: Float[np.ndarray, " detections"]
    class_agnostic_ar_by_size: Float[np.ndarray, " 3"]
    class_ap: Float[np.ndarray, " classes"]
    class_ap50: Float[np.ndarray, " classes"]
    class_ap75: Float[np.ndarray, " classes"]
    class_ar: Float[np.ndarray, " classes"]
    class_ap_by_size: Float[np.ndarray, "classes 3"]
    class_ar_by_size: Float[np.ndarray, "classes 3"]
    num_truth: Int[np.ndarray, " classes"]
    num_truth_by_size: Int[np.ndarray, "classes 3"]
    precision: Float[np.ndarray, "overlaps recalls classes"]


def coco_metrics(paired: Paired, settings: CocoSettings = CocoSettings()) -> CocoMetrics:
    """COCO's metrics by faster-coco-eval.

    Areas of the truth are COCO's `area` where the file gives it, else the boxes'.

    Raises:
        ValueError: `measured_in` is given and the size of an image with boxes is not known.
    """
    truth, predictions = paired.truth, paired.predictions
    if settings.measured_in is not None:
        truth = truth.scaled_to(*settings.measured_in)
        predictions = predictions.scaled_to(*settings.measured_in)
    areas = box_areas(truth) if truth.area is None else truth.area
    areas = np.where(np.isfinite(areas), areas, box_areas(truth))
    small, large = settings.size_bounds
    ranges: dict[str, list[float]] = {
        "small": [0.0, small],
        "medium": [small, large],
        "large": [large, 1e10],
    }
    by_class = _accumulated(truth, predictions, areas, ranges, settings, True)
    any_class = _accumulated(truth, predictions, areas, ranges, settings, False)
    # [overlaps, recalls, classes, areas, detections] and [overlaps, classes, areas, detections]
    precision, recall = by_class["precision"], by_class["recall"]
    agnostic = any_class["recall"]
    counts = [
        np.bincount(
            truth.label[paired.counted & (low <= areas) & (areas <= high)],
            minlength=len(truth.classes),
        )
        for low, high in ranges.values()
    ]
    by_size = range(1, 1 + len(SIZES))
    return CocoMetrics(
        ap=_mean(precision[:, :, :, 0, -1]),
        ap50=_mean(precision[0, :, :, 0, -1]),
        ap75=_mean(precision[5, :, :, 0, -1]),
        ap_by_size=np.array([_mean(precision[:, :, :, size, -1]) for size in by_size]),
        ar=_over(recall[:, :, 0], (0, 1)),
        ar_by_size=_over(recall[:, :, 1:, -1], (0, 1)),
        class_agnostic_ar=_over(agnostic[:, :, 0], (0, 1)),
        class_agnostic_ar_by_size=_over(agnostic[:, :, 1:, -1], (0, 1)),
        class_ap=_over(precision[:, :, :, 0, -1], (0, 1)),
        class_ap50=_over(precision[:1, :, :, 0, -1], (0, 1)),
        class_ap75=_over(precision[5:6, :, :, 0, -1], (0, 1)),
        class_ar=_over(recall[:, :, 0, -1], (0,)),
        class_ap_by_size=_over(precision[:, :, :, 1:, -1], (0, 1)),
        class_ar_by_size=_over(recall[:, :, 1:, -1], (0,)),
        num_truth=paired.num_truth,
        num_truth_by_size=np.stack(counts, axis=1).astype(np.int64),
        precision=precision[:, :, :, 0, -1],
    )


def _accumulated(
    truth: BoxSet,
    predictions: BoxSet,
    areas: Float[np.ndarray, " truths"],
    ranges: Mapping[str, Sequence[float]],
    settings: CocoSettings,
    by_class: bool,
) -> dict[str, np.ndarray]:
    """Precision and recall as faster-coco-eval gives them, with NaN in place of -1."""
    crowd = np.zeros(len(truth), bool) if truth.crowd is None else truth.crowd
    assert predictions.score is not None
    dataset = {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(truth.images))],
        "categories": [{"id": c + 1, "name": name} for c, name in enumerate(truth.classes)],
        # COCO reads an annotation's id of 0 as "not found".
        "annotations": _entries(truth, area=areas.tolist(), iscrowd=crowd.astype(int).tolist()),
    }
    detected = {
        **{name: dataset[name] for name in ("info", "images", "categories")},
        "annotations": _entries(
            predictions,
            area=box_areas(predictions).tolist(),
            score=predictions.score.tolist(),
            iscrowd=[0] * len(predictions),
        ),
    }
    evaluation = COCOeval_faster(COCO(dataset), COCO(detected), "bbox", ranges=dict(ranges))
    evaluation.params.maxDets = list(settings.max_detections)
    evaluation.params.useCats = int(by_class)
    evaluation.evaluate()
    evaluation.accumulate()
    overlaps, recalls, classes, sizes, limits = evaluation.eval["counts"]
    shapes = {
        "precision": (overlaps, recalls, classes, sizes, limits),
        "recall": (overlaps, classes, sizes, limits),
    }
    result = {}
    for name, shape in shapes.items():
        values = np.asarray(evaluation.eval[name], np.float64).reshape(shape)
        result[name] = np.where(values > -1, values, np.nan)
    return result


def _entries(boxes: BoxSet, **columns: Sequence[Any]) -> list[dict[str, Any]]:
    sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
    columns = {
        "id": list(range(1, len(boxes) + 1)),
        "image_id": (boxes.image + 1).tolist(),
        "category_id": (boxes.label + 1).tolist(),
        "bbox": np.concatenate([boxes.corners[:, :2], sides], axis=1).tolist(),
        **columns,
    }
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _over(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The mean over axes of the entries that are known; NaN where none is."""
    rest = [axis for axis in range(values.ndim) if axis not in axes]
    moved = values.transpose(*rest, *axes).reshape(*(values.shape[axis] for axis in rest), -1)
    result = np.empty(moved.shape[:-1])
    for place in np.ndindex(result.shape):
        result[place] = _mean(moved[place])
    return result
