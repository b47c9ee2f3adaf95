"""Confidence intervals of detection metrics: patients are drawn, not images."""

from collections.abc import Callable

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped
from examine_jax.detection.metrics.froc_curve import FrocCounter, FrocSettings
from examine_jax.detection.metrics.image_level import area_under_roc, image_scores
from examine_jax.detection.metrics.paired import Paired
from examine_jax.detection.metrics.resampling import coco_matches, weighted_average_precision
from examine_jax.evaluation.bootstrap import Interval, bootstrap_interval

Statistic = Callable[[Int[np.ndarray, " rows"]], float]


def metric_intervals(
    paired: Paired,
    groups: Shaped[np.ndarray, " images"],
    *,
    seed: int,
    num_draws: int = 1000,
    confidence: float = 0.95,
    froc_settings: FrocSettings | None = None,
    max_detections: int = 100,
) -> dict[str, Interval]:
    """Percentile intervals under the cluster bootstrap. All metrics see the same draws.

    A draw's mean over classes leaves out classes of which it has no box.

    Args:
        paired: truth and predictions.
        groups: the patient [I] of each image; `np.arange(I)` if each image is a patient.
        seed: determines the draws.
        num_draws: the number of draws.
        confidence: the coverage, in (0, 1).
        froc_settings: of the sensitivities and their mean.
        max_detections: detections an image and class, as COCO's.

    Returns:
        Intervals by the names of `DetectionMetrics.headline`: "ap", "ap50", "ar@D" and
        "class_agnostic_ar@D" for D `max_detections`, "cpm", "sensitivity@R" for each number R of
        false positives an image, "image_auroc".

    Raises:
        ValueError: there is not one group an image, or as `bootstrap_interval`.
    """
    count = len(paired.truth.images)
    if len(groups) != count:
        raise ValueError(f"{len(groups)} groups for {count} images: give one each")

    def weights(rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " images"]:
        return np.bincount(rows, minlength=count).astype(np.float64)

    matches = coco_matches(paired, max_detections=max_detections)
    agnostic = coco_matches(paired, by_class=False, max_detections=max_detections)
    froc_settings = froc_settings or FrocSettings()
    counter = FrocCounter.of(paired, froc_settings)
    positive, score = (x[:, 0] for x in image_scores(paired))
    computed: dict[bytes, list[float]] = {}

    def all_of(rows: Int[np.ndarray, " rows"]) -> list[float]:
        drawn = weights(rows)
        found = computed.get(drawn.tobytes())
        if found is None:
            sensitivity = counter.sensitivity(drawn)
            found = [
                *weighted_average_precision(matches, drawn),
                weighted_average_precision(agnostic, drawn)[2],
                float(sensitivity.mean()),
                *sensitivity.tolist(),
                area_under_roc(positive[rows], score[rows]),
            ]
            computed[drawn.tobytes()] = found
        return found

    recalls = [f"ar@{max_detections}", f"class_agnostic_ar@{max_detections}"]
    names = ["ap", "ap50", *recalls, "cpm"]
    names += [f"sensitivity@{rate:g}" for rate in froc_settings.false_positives]
    names += ["image_auroc"]

    def statistic(place: int) -> Statistic:
        return lambda rows: all_of(rows)[place]

    return {
        name: bootstrap_interval(
            statistic(place), groups, seed=seed, num_draws=num_draws, confidence=confidence
        )
        for place, name in enumerate(names)
    }
