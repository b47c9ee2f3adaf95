"""Metrics of detectors: COCO, Pascal VOC, Kaggle, FROC, whole images, placing; with intervals."""

from examine_jax.detection.metrics.average_precision import (
    AveragePrecision,
    kaggle_average_precision,
    voc_average_precision,
)
from examine_jax.detection.metrics.coco import CocoMetrics, CocoSettings, coco_metrics
from examine_jax.detection.metrics.detection_metrics import (
    DetectionMetrics,
    MetricSettings,
    evaluate,
)
from examine_jax.detection.metrics.froc_curve import Froc, FrocSettings, froc
from examine_jax.detection.metrics.image_level import (
    FalseAlarms,
    ImageAuroc,
    false_alarms,
    image_auroc,
)
from examine_jax.detection.metrics.intervals import metric_intervals
from examine_jax.detection.metrics.matching import CentreInside, HitRule, Overlap
from examine_jax.detection.metrics.paired import Paired
from examine_jax.detection.metrics.placing import Localisation, localisation

__all__ = [
    "AveragePrecision",
    "CentreInside",
    "CocoMetrics",
    "CocoSettings",
    "DetectionMetrics",
    "FalseAlarms",
    "Froc",
    "FrocSettings",
    "HitRule",
    "ImageAuroc",
    "Localisation",
    "MetricSettings",
    "Overlap",
    "Paired",
    "coco_metrics",
    "evaluate",
    "false_alarms",
    "froc",
    "image_auroc",
    "kaggle_average_precision",
    "localisation",
    "metric_intervals",
    "voc_average_precision",
]
