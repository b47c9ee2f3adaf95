"""The value of frozen features: the paper's kNN, and its two-layer probe at all learning rates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.evaluation.classifier_training import DivergedError
from examine_jax.evaluation.metrics import accuracy, balanced_accuracy, weighted_f1
from examine_jax.evaluation.mlp_probe import two_layer_probe
from examine_jax.features.neighbours import knn_predict
from examine_jax.studies.low_resource.settings import LowResourceSettings


def classify(
    features: Sequence[Float[np.ndarray, "_ d"]],
    labels: Sequence[Int[np.ndarray, " _"]],
    num_classes: int,
    settings: LowResourceSettings,
    *,
    batch_size: int,
    seed: int,
) -> dict[str, Any]:
    """Returns figures of the test images, as plain values.

    Test images choose nothing: learning rates are compared by the accuracy on the validation
    images.

    Args:
        features: [N, D] of the training, validation and test images, from an encoder in evaluation
            mode.
        labels: [N] of each.
        num_classes: of the labels.
        settings: of the study.
        batch_size: of the probe, unless `settings.probe_batch_size` names another.
        seed: of the probe.

    Returns:
        "k": the number of neighbours. "knn": the three figures. "probes": one for each learning
        rate, with batch_size (as given), learning_rate, validation_accuracy and the three figures;
        these four are None if the probe diverged.
    """
    train, validation, test = features
    train_labels, validation_labels, test_labels = labels
    nearest = knn_predict(train, train_labels, test, k=settings.k, num_classes=num_classes)
    probes = []
    for rate in settings.probe_learning_rates:
        training = settings.probe_training(rate, settings.probe_batch_size or batch_size, seed)
        probe: dict[str, Any] = {"batch_size": batch_size, "learning_rate": rate}
        try:
            classifier = two_layer_probe(
                train, train_labels, num_classes=num_classes, training=training
            )
        except DivergedError:
            probes.append({**probe, **dict.fromkeys(("validation_accuracy", *FIGURES))})
            continue
        right = accuracy(validation_labels, classifier.scores(validation).argmax(axis=1))
        predicted = classifier.scores(test).argmax(axis=1)
        probes.append(
            {**probe, "validation_accuracy": right, **_figures(test_labels, predicted, num_classes)}
        )
    return {"k": settings.k, "knn": _figures(test_labels, nearest, num_classes), "probes": probes}


FIGURES = ("accuracy", "weighted_f1", "balanced_accuracy")


def _figures(
    labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], num_classes: int
) -> dict[str, float]:
    predicted = predicted.astype(np.int64)
    values = (
        accuracy(labels, predicted),
        weighted_f1(labels, predicted),
        balanced_accuracy(labels, predicted, num_classes),
    )
    return dict(zip(FIGURES, values, strict=True))
