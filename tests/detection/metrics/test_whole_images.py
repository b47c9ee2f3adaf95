"""False alarms, AUROC of images, how boxes are placed, and what is refused."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from examine_jax.detection.metrics import Paired, false_alarms, image_auroc, localisation
from tests.support.detected_boxes import box_set, random_pair


def test_false_alarms_by_hand() -> None:
    truth = box_set(0, 0, [[0, 0, 10, 10]])
    predictions = box_set(
        [0, 1, 1, 2, 2, 2], [0, 0, 1, 2, 2, 0], [[0, 0, 5, 5]] * 6, [0.9, 0.2, 0.5, 0.9, 0.1, 0.5]
    )
    ours = false_alarms(Paired(truth, predictions), (0.15, 0.5, 0.95))
    assert ours.num_images == 3
    np.testing.assert_allclose(ours.per_image, [4 / 3, 1, 0])
    np.testing.assert_allclose(ours.share, [2 / 3, 2 / 3, 0])
    np.testing.assert_allclose(ours.class_per_image[:, 0], [2 / 3, 1 / 3, 1 / 3])


def test_without_negative_images_false_alarms_are_not_known() -> None:
    truth = box_set([0, 1], [0, 0], [[0, 0, 10, 10]] * 2, images=2)
    ours = false_alarms(Paired(truth, box_set([0], [0], [[0, 0, 1, 1]], 0.5, images=2)))
    assert ours.num_images == 0
    assert np.isnan(ours.per_image).all()


def test_auroc_is_the_rank_statistic() -> None:
    truth, predictions = random_pair(1, images=20, num_truth=14, num_false=30)
    paired = Paired(truth, predictions)
    ours = image_auroc(paired)
    top = np.full((20, 4), -5.0)
    for image, label, score in zip(predictions.image, predictions.label, predictions.score):
        for column in (0, 1 + label):
            top[image, column] = max(top[image, column], score)
    for column in range(4):
        has = np.zeros(20, bool)
        has[truth.image[(truth.label == column - 1) | (column == 0)]] = True
        positive, negative = top[has, column], top[~has, column]
        expected = mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))
        got = ours.auroc if column == 0 else ours.class_auroc[column - 1]
        np.testing.assert_allclose(got, expected)


def test_an_image_without_predictions_is_the_lowest() -> None:
    truth = box_set([0, 1], [0, 0], [[0, 0, 10, 10]] * 2)
    predictions = box_set([0, 1], [0, 0], [[0, 0, 10, 10]] * 2, [-3.0, -4.0])
    assert image_auroc(Paired(truth, predictions)).auroc == 1
    assert image_auroc(Paired(truth, predictions.take([]))).auroc == 0.5
    assert np.isnan(image_auroc(Paired(truth.take([]), predictions)).auroc)


def test_best_overlap_is_an_oracles_choice() -> None:
    truth = box_set([0, 0, 1], [0, 0, 1], [[0, 0, 10, 10], [0, 0, 10, 20], [0, 0, 4, 4]])
    predictions = box_set(
        [0, 0, 1, 1],
        [0, 0, 1, 0],
        [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 4, 4], [0, 0, 4, 4]],
        [0.9, 0.8, 0.04, 0.9],
    )
    ours = localisation(Paired(truth, predictions))
    # The third box's prediction of its class has too low a score.
    np.testing.assert_allclose(ours.best_mean, (1 + 0.5 + 0) / 3)
    np.testing.assert_allclose(ours.best_deviation, np.std([1, 0.5, 0]))
    np.testing.assert_allclose(ours.class_best_mean, [0.75, 0, np.nan])
    # One to one: either pairing matches two; (1 to second, .9 to first) sums to 1.4, the other
    # to 1 + .45.
    np.testing.assert_allclose(ours.matched_mean, (1 + 0.45) / 2)
    np.testing.assert_allclose(ours.unmatched_share, 1 / 3)
    assert (ours.num_truth, ours.num_matched) == (3, 2)


def test_placing_is_not_known_without_truth_and_zero_without_predictions() -> None:
    truth, predictions = random_pair(2)
    nothing = localisation(Paired(truth.take([]), predictions))
    assert np.isnan([nothing.best_mean, nothing.matched_mean, nothing.unmatched_share]).all()
    missed = localisation(Paired(truth, predictions.take([])))
    assert (missed.best_mean, missed.unmatched_share) == (0, 1)
    assert np.isnan(missed.matched_mean)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": None}, "no scores"),
        ({"score": [np.nan, 0.5]}, r"'1.png', is not finite.*score nan"),
        ({"corners": [[0, 0, 1, np.inf], [0, 0, 1, 1]]}, "'1.png', is not finite"),
        ({"corners": [[0, 0, 1, 1], [5, 0, 1, 1]]}, "'2.png', ends before it begins"),
        ({"classes": ("mass", "cyst", "effusion")}, "classes at place 1: 'nodule' and 'cyst'"),
        ({"images": ("0.png", "1.png", "2.png")}, "images at place 3: '3.png' and nothing"),
    ],
)
def test_bad_predictions_are_refused(change, message) -> None:
    truth = box_set(0, 0, [[0, 0, 1, 1]])
    predictions = box_set([1, 2], [0, 0], [[0, 0, 1, 1]] * 2, [0.1, 0.2])
    if "images" in change:
        change = {**change, "sizes": predictions.sizes[:3]}
    arrays = {k: np.array(v, float) for k, v in change.items() if k in ("score", "corners") and v}
    with pytest.raises(ValueError, match=message):
        Paired(truth, dataclasses.replace(predictions, **{**change, **arrays}))


def test_a_set_without_images_or_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        Paired(box_set([], [], [], images=0), box_set([], [], [], [], images=0))
    with pytest.raises(ValueError, match="at least one of each"):
        Paired(box_set([], [], [], classes=()), box_set([], [], [], [], classes=()))
