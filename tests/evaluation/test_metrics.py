"""Metrics against scikit-learn's and against rank statistics."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    recall_score,
    roc_auc_score,
)

from examine_jax.evaluation.metrics import (
    accuracy,
    balanced_accuracy,
    class_recall,
    classification_metrics,
    multilabel_metrics,
    weighted_f1,
)

_RNG = np.random.default_rng(0)
_LABELS = np.concatenate([np.arange(4), _RNG.integers(0, 4, 96)])
_SCORES = _RNG.random((100, 4)).astype(np.float32)
_SCORES /= _SCORES.sum(axis=1, keepdims=True)


def test_agrees_with_scikit_learn():
    found, predicted = classification_metrics(_LABELS, _SCORES), _SCORES.argmax(axis=1)
    assert found.accuracy == pytest.approx(np.mean(predicted == _LABELS))
    assert found.weighted_f1 == pytest.approx(f1_score(_LABELS, predicted, average="weighted"))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(_LABELS, predicted))
    assert found.class_recall == pytest.approx(
        tuple(recall_score(_LABELS, predicted, average=None))
    )
    assert found.macro_auroc == pytest.approx(roc_auc_score(_LABELS, _SCORES, multi_class="ovr"))
    one_hot = np.eye(4)[_LABELS]
    assert found.macro_average_precision == pytest.approx(average_precision_score(one_hot, _SCORES))
    assert found.num_images == tuple(np.bincount(_LABELS))
    for c in range(4):
        own = c == _LABELS
        area = mannwhitneyu(_SCORES[own, c], _SCORES[~own, c]).statistic / (
            own.sum() * (~own).sum()
        )
        assert found.class_auroc[c] == pytest.approx(area)


def test_several_labels_an_image_agree_with_scikit_learn():
    labels = _RNG.integers(0, 2, (100, 4))
    found = multilabel_metrics(labels, _SCORES)
    assert found.macro_auroc == pytest.approx(roc_auc_score(labels, _SCORES))
    assert found.macro_average_precision == pytest.approx(average_precision_score(labels, _SCORES))
    assert found.num_images == tuple(labels.sum(axis=0))
    assert multilabel_metrics(labels.astype(bool), _SCORES) == found


def test_metrics_of_a_missing_class_and_their_means_are_nan():
    present = _LABELS != 2
    found = classification_metrics(_LABELS[present], _SCORES[present])
    assert math.isnan(found.balanced_accuracy)
    assert math.isnan(found.macro_auroc)
    assert math.isnan(found.macro_average_precision)
    for figures in (found.class_recall, found.class_auroc, found.class_average_precision):
        assert [math.isnan(figure) for figure in figures] == [False, False, True, False]
    assert found.num_images[2] == 0
    assert 0 < found.weighted_f1 < 1


def test_a_single_class_has_recall_and_precision_but_no_auroc():
    found = classification_metrics(np.zeros(5, int), np.ones((5, 1), np.float32))
    assert (found.accuracy, found.class_recall, found.class_average_precision) == (
        1,
        (1.0,),
        (1.0,),
    )
    assert math.isnan(found.macro_auroc)


def test_a_class_that_is_never_predicted_causes_no_warning():
    labels, predicted = np.array([0, 0, 1, 2]), np.array([0, 0, 0, 2])
    assert weighted_f1(labels, predicted) == pytest.approx((2 * 0.8 + 0 + 1) / 4)
    assert accuracy(labels, predicted) == 0.75
    assert balanced_accuracy(labels, predicted, 3) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(class_recall(labels, predicted, 4), [1, 0, 1, np.nan])


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 2], [[0.5, 0.5], [0.1, 0.9]], "label 2 of row 1 is outside 0 .. 1"),
        ([-1, 0], [[0.5, 0.5], [0.1, 0.9]], "label -1 of row 0"),
        ([0, 1], [[0.5, 0.5], [0.1, np.nan]], r"scores of rows \[1\] are not finite"),
        (np.zeros(0, int), np.zeros((0, 2)), "no test image"),
        ([[0, 2]], [[0.5, 0.5]], "labels of row 0 are not 0 and 1"),
        (
            [[0, 1], [1, 0]],
            [[0.5, 0.5, 0.1], [0.1, 0.9, 0.1]],
            r"labels \[2, 2\] and scores \[2, 3\]",
        ),
        ([0, 1, 1], [[0.5, 0.5], [0.1, 0.9]], "2 rows of scores for 3 labels"),
    ],
)
def test_invalid_scores_and_labels_are_refused(labels, scores, message):
    labels = np.array(labels)
    with pytest.raises(ValueError, match=message):
        (classification_metrics if labels.ndim == 1 else multilabel_metrics)(
            labels, np.array(scores, np.float32)
        )


@pytest.mark.parametrize(
    "figure", [accuracy, lambda labels, predicted: class_recall(labels, predicted, 2)]
)
def test_mismatched_predictions_are_refused(figure):
    with pytest.raises(ValueError, match=r"\[1\] predictions for \[3\] labels"):
        figure(np.array([0, 1, 1]), np.array([1]))
    with pytest.raises(ValueError, match="label 2 of row 1 is outside"):
        class_recall(np.array([0, 2]), np.array([0, 1]), 2)
