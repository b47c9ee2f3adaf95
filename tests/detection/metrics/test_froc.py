"""FROC against MONAI and picai_eval (golden/make_froc.py), and against maximum matching."""

import pathlib

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from examine_jax.detection.metrics import CentreInside, FrocSettings, Overlap, Paired, froc
from examine_jax.detection.metrics.image_level import image_auroc
from examine_jax.detection.metrics.matching import EXTRA, FALSE, IGNORED, match, overlaps
from tests.support.detected_boxes import box_set, random_pair

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "froc.npz")
RATES = tuple(GOLDEN["rates"].tolist())


def golden_pair() -> Paired:
    truth, predictions = GOLDEN["truth"], GOLDEN["predictions"]
    images = int(GOLDEN["images"])
    return Paired(
        box_set(truth[:, 0], 0 * truth[:, 0], truth[:, 1:], images=images),
        box_set(
            predictions[:, 0],
            0 * predictions[:, 0],
            predictions[:, 1:],
            GOLDEN["score"],
            images=images,
        ),
    )


def test_centres_inside_boxes_equal_monai() -> None:
    ours = froc(golden_pair(), FrocSettings(CentreInside(), RATES, between="linear"))
    # MONAI's points ascend in score, ours descend; at a missed box's score of 0 it leaves one out.
    points = {
        (round(f, 9), round(s, 9))
        for f, s in zip(GOLDEN["monai/false_positives"], GOLDEN["monai/sensitivity"])
    }
    mine = {
        (round(f, 9), round(s, 9))
        for f, s in zip(ours.curve_false_positives, ours.curve_sensitivity)
    }
    assert points == mine
    np.testing.assert_allclose(ours.cpm, GOLDEN["monai/cpm"], atol=1e-12)


@pytest.mark.parametrize("least", [0.5, 0.3])
@pytest.mark.parametrize("extra", ["neither", "false_positive"])
def test_overlaps_equal_picai_eval(least: float, extra) -> None:
    name = f"picai/{least}/{extra}"
    ours = froc(golden_pair(), FrocSettings(Overlap(least), RATES, extra=extra))
    # picai_eval counts in float32, begins at the first score and ends at infinity.
    np.testing.assert_allclose(
        ours.curve_false_positives[1:], GOLDEN[f"{name}/false_positives"][:-1], rtol=1e-6
    )
    np.testing.assert_allclose(
        ours.curve_sensitivity[1:], GOLDEN[f"{name}/sensitivity"][:-1], rtol=1e-6
    )
    assert 0.1 < ours.cpm < 0.9
    np.testing.assert_allclose(ours.sensitivity[:5], GOLDEN[f"{name}/at_rates"][:5], rtol=1e-6)
    np.testing.assert_allclose(ours.sensitivity[5:], ours.curve_sensitivity[-1])


def test_image_auroc_equals_picai_eval() -> None:
    ours = image_auroc(golden_pair())
    np.testing.assert_allclose(ours.auroc, GOLDEN["picai/0.5/neither/image_auroc"], atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_greedy_matching_finds_almost_as_many_as_any_can(seed: int) -> None:
    """A maximum matching, which ignores scores, is an upper bound, and reached where boxes part."""
    truth, predictions = random_pair(seed, num_truth=24, num_false=20)
    paired = Paired(truth, predictions)
    found = match(paired, Overlap(0.5))
    hits = found[found >= 0]
    assert len(set(hits.tolist())) == len(hits)
    same = (predictions.image[:, None] == truth.image) & (predictions.label[:, None] == truth.label)
    pairs = same & (overlaps(predictions.corners, truth.corners) >= 0.5)
    most = (maximum_bipartite_matching(csr_array(pairs)) >= 0).sum()
    assert most - 1 <= len(hits) <= most
    assert (found[~pairs.any(axis=1)] == FALSE).all()
    assert ((found >= 0) | (found == EXTRA))[pairs.any(axis=1)].all()


@pytest.mark.parametrize("rule", [Overlap(0.4), CentreInside()])
def test_each_point_is_what_the_predictions_above_it_give(rule) -> None:
    truth, predictions = random_pair(6, num_truth=30, num_false=40)
    ours = froc(Paired(truth, predictions), FrocSettings(rule))
    for point in range(1, len(ours.threshold), 7):
        above = predictions.take(predictions.score >= ours.threshold[point])
        found = match(Paired(truth, above), rule)
        np.testing.assert_allclose(ours.curve_sensitivity[point], (found >= 0).sum() / len(truth))
        np.testing.assert_allclose(ours.curve_false_positives[point], (found == FALSE).sum() / 10)


def test_by_hand() -> None:
    """Two images, three boxes: hits at .9 and .6, a false positive at .8, an extra at .7."""
    truth = box_set(
        [0, 0, 1], [0, 0, 1], [[0, 0, 10, 10], [20, 20, 30, 30], [5, 5, 15, 15]], images=3
    )
    predictions = box_set(
        [0, 2, 0, 1, 1],
        [0, 0, 0, 1, 0],
        [[0, 0, 10, 10], [0, 0, 9, 9], [0, 0, 10, 9], [5, 5, 15, 14], [5, 5, 15, 15]],
        [0.9, 0.8, 0.7, 0.6, 0.6],
        images=3,
    )
    paired = Paired(truth, predictions)
    ours = froc(paired, FrocSettings(false_positives=(0.0, 1 / 3, 2 / 3)))
    np.testing.assert_array_equal(ours.threshold, [np.inf, 0.9, 0.8, 0.7, 0.6])
    np.testing.assert_allclose(ours.curve_false_positives, np.array([0, 0, 1, 1, 2]) / 3)
    np.testing.assert_allclose(ours.curve_sensitivity, np.array([0, 1, 1, 1, 2]) / 3)
    np.testing.assert_allclose(ours.sensitivity, np.array([1, 1, 2]) / 3)
    np.testing.assert_allclose(ours.class_sensitivity[:2], [[0.5, 0.5, 0.5], [1, 1, 1]])
    assert np.isnan(ours.class_sensitivity[2]).all()
    assert ours.num_images == 3
    strict = froc(paired, FrocSettings(false_positives=(1 / 3,), extra="false_positive"))
    np.testing.assert_allclose(strict.curve_false_positives, np.array([0, 0, 1, 2, 3]) / 3)
    negative = froc(paired, FrocSettings(false_positives=(1.0,), images="negative"))
    np.testing.assert_allclose(negative.curve_false_positives, [0, 0, 1, 1, 1])
    assert negative.num_images == 1
    any_class = froc(paired, FrocSettings(false_positives=(1 / 3,), by_class=False))
    np.testing.assert_allclose(any_class.curve_false_positives, np.array([0, 0, 1, 1, 1]) / 3)


def test_crowds_are_neither_found_nor_missed() -> None:
    truth = box_set([0, 1], [0, 0], [[0, 0, 10, 10]] * 2, crowd=np.array([False, True]))
    both = box_set([0, 1], [0, 0], [[0, 0, 10, 10]] * 2, [0.5, 0.9])
    paired = Paired(truth, both)
    np.testing.assert_array_equal(match(paired, Overlap()), [0, IGNORED])
    ours = froc(paired)
    assert ours.cpm == 1
    assert ours.curve_false_positives.max() == 0


def test_nothing_to_find_nothing_found_and_no_negatives() -> None:
    truth, predictions = random_pair(0)
    nothing = froc(Paired(truth.take([]), predictions))
    assert np.isnan(nothing.cpm)
    assert np.isnan(nothing.sensitivity).all()
    missed = froc(Paired(truth, predictions.take([])))
    assert missed.cpm == 0
    np.testing.assert_array_equal(missed.threshold, [np.inf])
    positive = np.flatnonzero(truth.counts() > 0)
    full = Paired(truth.select(positive), predictions.select(positive))
    assert np.isnan(froc(full, FrocSettings(images="negative")).cpm)
    one = box_set(0, 0, [[0, 0, 9, 9]], images=1)
    assert froc(Paired(one, box_set(0, 0, [[0, 0, 9, 9]], 0.1, images=1))).cpm == 1


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="false_positives"):
        FrocSettings(false_positives=())
    with pytest.raises(ValueError, match="within 0"):
        Overlap(1.5)
