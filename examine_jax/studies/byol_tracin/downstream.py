"""An encoder's value with labels: it is fine-tuned, and tested on images that no training saw."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.encoders import Encoder
from examine_jax.evaluation.fine_tuning import Augmentation, fine_tune
from examine_jax.evaluation.metrics import classification_metrics, multilabel_metrics
from examine_jax.features.neighbours import knn_scores
from examine_jax.features.preprocessing import FeatureStatistics, preprocess
from examine_jax.images.augmentation import Compose, Flip, RandomResizedCrop
from examine_jax.studies.byol_tracin.sets import Split, StudySet, some_rows
from examine_jax.studies.byol_tracin.settings import StudySettings
from examine_jax.studies.common.controls import colour_features

METRICS = {"bma": "BMA", "auc": "AUC", "average_precision": "average precision"}


def figures(
    images: StudySet, rows: np.ndarray, scores: Float[np.ndarray, "n classes"]
) -> dict[str, float]:
    """Returns the figures of test images, by their keys in METRICS.

    BMA (balanced accuracy) exists only if each image has one class. The average precision is that
    of the second class if there are two (malignant, tuberculosis), else the mean over classes.
    """
    labels = images.labels[rows]
    if images.multilabel:
        several = multilabel_metrics(labels, scores)
        return {"auc": several.macro_auroc, "average_precision": several.macro_average_precision}
    found = classification_metrics(labels, scores)
    precision = (
        found.class_average_precision[1] if scores.shape[1] == 2 else found.macro_average_precision
    )
    return {
        "bma": found.balanced_accuracy,
        "auc": found.macro_auroc,
        "average_precision": precision,
    }


def fine_tuned(
    encoder: Encoder,
    images: StudySet,
    split: Split,
    share: float,
    settings: StudySettings,
    seed: int,
) -> dict[str, float]:
    """Returns the test figures of an encoder fine-tuned on a share of the training labels."""
    rows = split.labelled[share]
    classifier = fine_tune(
        encoder,
        some_rows(images.pixels, rows),
        images.labels[rows],
        num_classes=len(images.classes),
        training=dataclasses.replace(settings.tuning(len(rows)), seed=seed),
        augmentation=_augmentation(encoder.image_size),
    )
    return figures(images, split.test, classifier.scores(some_rows(images.pixels, split.test)))


def colours(
    images: StudySet, split: Split, share: float, settings: StudySettings
) -> dict[str, float]:
    """Returns the untrained control: test figures of a kNN vote by z-scored colour statistics."""
    rows = split.labelled[share]
    known, asked = (colour_features(images.pixels, some) for some in (rows, split.test))
    statistics = FeatureStatistics.of(known)
    known, asked = (preprocess(features, "zscore", statistics) for features in (known, asked))
    k = min(settings.neighbours, len(rows))
    if not images.multilabel:
        return figures(
            images,
            split.test,
            knn_scores(
                known,
                images.labels[rows].astype(np.int32),
                asked,
                k=k,
                num_classes=len(images.classes),
            ),
        )
    columns = [
        knn_scores(known, column.astype(np.int32), asked, k=k, num_classes=2)[:, 1]
        for column in images.labels[rows].T
    ]
    return figures(images, split.test, np.stack(columns, axis=1))


def _augmentation(size: int) -> Augmentation:
    return Compose((RandomResizedCrop(size, (0.35, 1.0), interpolation="bilinear"), Flip()))
