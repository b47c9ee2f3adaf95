"""All metrics at once, and their intervals."""

import numpy as np
import pytest

from examine_jax.detection.metrics import (
    CocoSettings,
    MetricSettings,
    Paired,
    evaluate,
    metric_intervals,
)
from tests.support.detected_boxes import CLASSES, box_set, random_pair


def test_headline_and_classes_agree_with_the_parts() -> None:
    truth, predictions = random_pair(0, absent=1)
    metrics = evaluate(truth, predictions)
    headline, by_class = metrics.headline(), metrics.by_class()
    assert headline["ap50"] == metrics.coco.ap50
    assert headline["ar@100"] == metrics.coco.ar[-1]
    assert headline["voc_map@.4"] == metrics.voc.mean
    assert headline["sensitivity@0.125"] == metrics.froc.sensitivity[0]
    assert (metrics.num_images, metrics.num_negative) == (10, metrics.false_alarms.num_images)
    assert list(by_class) == list(CLASSES)
    assert by_class["nodule"]["boxes"] == 0
    assert by_class["nodule"]["ap"] == by_class["nodule"]["cpm"] == "no truth"
    assert by_class["mass"]["ap50"] == metrics.coco.class_ap50[0]
    assert not metrics.intervals


def test_a_perfect_detector() -> None:
    truth, _ = random_pair(0)
    perfect = box_set(truth.image, truth.label, truth.corners, np.ones(len(truth)), images=10)
    metrics = evaluate(truth, perfect)
    headline = metrics.headline()
    for name in ("ap", "ap50", "ar@100", "voc_map@.4", "kaggle_map@.4", "cpm", "image_auroc"):
        assert headline[name] == 1, name
    assert headline["false_alarms@0.05"] == 0
    assert headline["best_overlap"] == headline["matched_overlap"] == 1


@pytest.mark.parametrize("empty", ["truth", "predictions", "both"])
def test_empty_sets_are_measured(empty: str) -> None:
    truth, predictions = random_pair(1)
    truth = truth.take([]) if empty in ("truth", "both") else truth
    predictions = predictions.take([]) if empty in ("predictions", "both") else predictions
    headline = evaluate(truth, predictions).headline()
    if empty == "predictions":
        assert headline["ap"] == headline["cpm"] == headline["voc_map@.4"] == 0
    else:
        assert np.isnan([headline[name] for name in ("ap", "cpm", "voc_map@.4")]).all()


def test_a_class_named_no_finding_has_no_kaggle_variant() -> None:
    classes = ("mass", "No finding", "other")
    truth = box_set(0, 0, [[0, 0, 9, 9]], classes=classes)
    predictions = box_set(0, 0, [[0, 0, 9, 9]], 0.5, classes=classes)
    metrics = evaluate(truth, predictions)
    assert metrics.kaggle is None
    assert np.isnan(metrics.headline()["kaggle_map@.4"])


def test_intervals_hold_the_values_and_see_the_same_draws() -> None:
    truth, predictions = random_pair(2)
    settings = MetricSettings(CocoSettings(max_detections=(1, 10, 50)), bootstrap_draws=20)
    metrics = evaluate(truth, predictions, settings)
    intervals = metrics.intervals
    headline = metrics.headline()
    assert {"ap", "ap50", "ar@50", "class_agnostic_ar@50", "cpm", "sensitivity@1"} < set(intervals)
    for name, interval in intervals.items():
        np.testing.assert_allclose(interval.value, headline[name], atol=1e-12, err_msg=name)
        assert interval.low <= interval.value + 0.1, name
        assert interval.low < interval.high, name
    again = evaluate(truth, predictions, settings).intervals
    assert again == intervals


def test_one_image_has_no_intervals() -> None:
    one = box_set(0, 0, [[0, 0, 9, 9]], images=1)
    found = box_set(0, 0, [[0, 0, 9, 9]], 0.5, images=1)
    metrics = evaluate(one, found, MetricSettings(bootstrap_draws=5))
    assert metrics.coco.ap == 1
    assert not metrics.intervals
    assert np.isnan(metrics.image_auroc.auroc)


def test_a_patient_is_drawn_whole() -> None:
    """Two patients whose images are copies of one another: draws have three outcomes alone."""
    truth = box_set([0, 1, 2, 3], [0] * 4, [[0, 0, 9, 9]] * 4)
    predictions = box_set(
        [0, 1, 2, 3], [0] * 4, [[0, 0, 9, 9]] * 2 + [[30, 30, 39, 39]] * 2, [0.9] * 4
    )
    intervals = metric_intervals(
        Paired(truth, predictions), np.array(["a", "a", "b", "b"]), seed=0, num_draws=40
    )
    # Equal scores keep the order of images, so patient a's hits come first.
    assert (intervals["ap"].low, intervals["ap"].high) == (0, 1)
    np.testing.assert_allclose(intervals["ap"].value, 51 / 101)
    with pytest.raises(ValueError, match="one each"):
        metric_intervals(Paired(truth, predictions), np.arange(3), seed=0)
