"""Finding wrong labels."""

import numpy as np
import pytest

from examine_jax.evaluation.classifier_influence import (
    ClassifierLoss,
    classifier_checkpoints,
    labelled_examples,
)
from examine_jax.evaluation.classifier_training import ClassifierTraining
from examine_jax.evaluation.mlp_probe import two_layer_probe
from examine_jax.influence import flip_labels, precision_at, self_influence, tracin
from examine_jax.models.classifier_head import ClassifierHead


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_exactly_that_share_of_labels_is_flipped_to_other_classes(share):
    labels = np.random.default_rng(0).integers(0, 5, 1000)
    noisy, flipped = flip_labels(labels, share=share, num_classes=5, seed=0)
    np.testing.assert_array_equal(noisy != labels, flipped)
    assert flipped.sum() == 1000 * share
    assert ((noisy >= 0) & (noisy < 5)).all()
    if share == 1:
        counts = np.bincount((noisy - labels) % 5, minlength=5)
        assert counts[0] == 0
        assert counts[1:].min() > 200


def test_precision_counts_among_the_highest():
    wrong = np.array([True, False, False, True, False])
    assert precision_at(np.array([5.0, 4, 3, 2, 1]), wrong, share=0.2) == 1
    assert precision_at(np.array([5.0, 4, 3, 2, 1]), wrong, share=0.4) == 0.5
    assert precision_at(np.ones(5), wrong, share=0.01) == 1


def test_what_gives_no_precision_is_refused():
    with pytest.raises(ValueError, match=r"nan in rows \[1\]"):
        precision_at(np.array([0.0, np.nan]), np.zeros(2, bool), share=0.5)
    with pytest.raises(ValueError, match="share"):
        precision_at(np.zeros(2), np.zeros(2, bool), share=0.0)
    with pytest.raises(ValueError, match="share"):
        flip_labels(np.zeros(2, int), share=1.5, num_classes=2, seed=0)


def test_self_influence_of_a_probe_along_its_training_finds_flipped_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 150)
    features = (4 * np.eye(3, 8)[labels] + rng.standard_normal((150, 8))).astype(np.float32)
    noisy, flipped = flip_labels(labels, share=0.1, num_classes=3, seed=1)
    training = ClassifierTraining(epochs=10, kept_epochs=(2, 10))
    classifier = two_layer_probe(
        features, noisy, num_classes=3, training=training, head=ClassifierHead(hidden=8)
    )
    assert [kept.epoch for kept in classifier.kept] == [2, 10]
    checkpoints = classifier_checkpoints(classifier)
    assert [checkpoint.learning_rate for checkpoint in checkpoints] == pytest.approx([0.01, 0.01])
    loss, examples = (
        ClassifierLoss(classifier.network),
        labelled_examples(features, noisy, num_classes=3),
    )
    score = self_influence(loss, checkpoints, examples)
    assert precision_at(score, flipped, share=0.1) > 0.9
    # A wrongly labelled image harms images like it.
    test = labelled_examples(features[~flipped][:6], labels[~flipped][:6], num_classes=3)
    worst = tracin(loss, checkpoints, examples, test).extremes(3).harmful
    assert flipped[worst].mean() > 0.9
    # One test image is asked about alone: its answer is the same.
    alone = labelled_examples(features[~flipped][:1], labels[~flipped][:1], num_classes=3)
    np.testing.assert_array_equal(
        tracin(loss, checkpoints, examples, alone).extremes(3).harmful, worst[:1]
    )


@pytest.mark.parametrize(
    "labels", [np.array([2]), np.array([[0, 1, 0]])], ids=["a class", "several labels"]
)
def test_examples_may_lack_a_class(labels):
    examples = labelled_examples(np.ones((1, 4), np.float32), labels, num_classes=3)
    np.testing.assert_array_equal(examples["label"], labels)
    assert examples["label"].dtype == (np.int32 if labels.ndim == 1 else np.float32)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 3]), r"label 3 of row 1 is outside 0 \.\. 2"),
        (np.array([-1, 0]), r"label -1 of row 0 is outside 0 \.\. 2"),
        (np.array([0.5, 1]), "not all whole numbers"),
        (np.array([0]), r"labels \[1\] for 2 rows"),
        (np.array([[0, 1, 0]]), r"labels \[1, 3\] for 2 rows"),
        (np.array([[0, 1], [1, 0]]), r"zeros and ones \[2, 3\]"),
        (np.array([[0, 1, 2], [1, 0, 0]]), r"zeros and ones \[2, 3\]"),
    ],
)
def test_labels_that_are_no_classes_of_the_examples_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        labelled_examples(np.ones((2, 4), np.float32), labels, num_classes=3)


def test_a_classifier_that_kept_nothing_has_no_checkpoints():
    features, labels = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    classifier = two_layer_probe(
        features, labels, num_classes=2, training=ClassifierTraining(epochs=1)
    )
    with pytest.raises(ValueError, match="kept no epoch"):
        classifier_checkpoints(classifier)
    with pytest.raises(ValueError, match="kept_epochs"):
        ClassifierTraining(epochs=3, kept_epochs=(4,))
