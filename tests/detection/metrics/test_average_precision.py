"""Pascal VOC's average precision against the package mean-average-precision."""

import dataclasses

import mean_average_precision
import numpy as np
import pytest

from examine_jax.detection.metrics import Paired, kaggle_average_precision, voc_average_precision
from tests.support.detected_boxes import box_set, random_pair


def by_package(truth, predictions, overlap):
    """The package counts corner pixels as inside, so a box ends one pixel earlier there."""
    builder = mean_average_precision.MetricBuilder
    metric = builder.build_evaluation_metric("map_2d", async_mode=False, num_classes=3)
    for image in range(len(truth.images)):
        rows = [boxes.of_image(image) for boxes in (truth, predictions)]
        own = [boxes.corners[r] - [0, 0, 1, 1] for boxes, r in zip((truth, predictions), rows)]
        zeros = np.zeros(len(rows[0]))
        metric.add(
            np.column_stack([own[1], predictions.label[rows[1]], predictions.score[rows[1]]]),
            np.column_stack([own[0], truth.label[rows[0]], zeros, zeros]),
        )
    result = metric.value(iou_thresholds=overlap)[overlap]
    return np.array([result[c]["ap"] for c in range(3)])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("overlap", [0.4, 0.5])
def test_equals_another_code(seed: int, overlap: float) -> None:
    truth, predictions = random_pair(seed, num_truth=60)
    ours = voc_average_precision(Paired(truth, predictions), overlap=overlap)
    theirs = by_package(truth, predictions, overlap)
    assert 0.1 < theirs.mean() < 0.9
    np.testing.assert_allclose(ours.class_ap, theirs, atol=1e-6)  # Theirs is float32.
    np.testing.assert_allclose(ours.mean, theirs.mean(), atol=1e-6)


def test_an_overlap_must_exceed_the_threshold() -> None:
    truth = box_set(0, 0, [[0, 0, 10, 10]])
    half = box_set(0, 0, [[0, 0, 10, 5]], 0.5)
    assert voc_average_precision(Paired(truth, half), overlap=0.5).mean == 0
    assert voc_average_precision(Paired(truth, half), overlap=0.49).mean == 1


def test_a_box_that_is_found_already_counts_against_the_next_prediction() -> None:
    """Pascal VOC gives no second choice: the nearest box is taken, so the prediction is wrong."""
    truth = box_set([0, 0], [0, 0], [[0, 0, 10, 10], [3, 0, 13, 10]])
    both = box_set([0, 0], [0, 0], [[0, 0, 10, 10], [1, 0, 11, 10]], [0.9, 0.8])
    assert voc_average_precision(Paired(truth, both)).mean == 0.5


def test_crowds_are_neither_found_nor_missed() -> None:
    truth = box_set([0, 1], [0, 0], [[0, 0, 10, 10]] * 2, crowd=np.array([False, True]))
    both = box_set([0, 1], [0, 0], [[0, 0, 10, 10]] * 2, [0.5, 0.9])
    result = voc_average_precision(Paired(truth, both))
    assert (result.mean, result.num_truth[0]) == (1, 1)


def test_no_finding_is_one_more_class() -> None:
    """By hand: of four images two are negative; one of them has a prediction."""
    truth = box_set([0, 1], [0, 0], [[0, 0, 10, 10]] * 2)
    predictions = box_set([0, 2], [0, 1], [[0, 0, 10, 10]] * 2, [0.9, 0.8])
    result = kaggle_average_precision(Paired(truth, predictions))
    assert result.classes[-1] == "No finding"
    # Images 1 and 3 have no prediction: one of the two is negative indeed; both score 1.
    np.testing.assert_allclose(result.class_ap, [0.5, np.nan, np.nan, 0.25])
    scores = np.array([0.1, np.nan, 0.8, 0.9])
    result = kaggle_average_precision(Paired(truth, predictions), scores)
    np.testing.assert_allclose(result.class_ap[-1], 1)
    np.testing.assert_allclose(result.mean, 0.75)


def test_no_finding_equals_another_code_with_the_dummy_boxes() -> None:
    truth, predictions = random_pair(4)
    rng = np.random.default_rng(0)
    scores = rng.random(len(truth.images))
    ours = kaggle_average_precision(Paired(truth, predictions), scores)
    negative = np.flatnonzero(truth.counts() == 0)
    dummies = box_set(negative, 0 * negative, np.tile([0, 0, 1, 1], (len(negative), 1)), images=10)
    everywhere = box_set(
        np.arange(10), np.zeros(10), np.tile([0, 0, 1, 1], (10, 1)), scores, images=10
    )
    theirs = by_package(dummies, everywhere, 0.4)[0]
    np.testing.assert_allclose(ours.class_ap[-1], theirs, atol=1e-6)
    np.testing.assert_allclose(ours.class_ap[:3], by_package(truth, predictions, 0.4), atol=1e-6)


def test_nothing_to_find_and_nothing_found() -> None:
    truth, predictions = random_pair(0, absent=1)
    none = voc_average_precision(Paired(truth.take([]), predictions))
    assert np.isnan(none.mean)
    assert np.isnan(none.class_ap).all()
    missed = voc_average_precision(Paired(truth, predictions.take([])))
    np.testing.assert_array_equal(missed.class_ap, [0, np.nan, 0])
    assert missed.mean == 0


def test_bad_input_is_refused() -> None:
    truth, predictions = random_pair(0)
    with pytest.raises(ValueError, match="one each"):
        kaggle_average_precision(Paired(truth, predictions), np.zeros(3))
    classes = ("mass", "No finding", "other")
    with pytest.raises(ValueError, match="findings alone"):
        kaggle_average_precision(
            Paired(
                dataclasses.replace(truth, classes=classes),
                dataclasses.replace(predictions, classes=classes),
            )
        )
