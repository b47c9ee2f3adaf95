"""Classification metrics: scikit-learn's, with one rule for classes missing from the test images.

A metric of a class is NaN if it is undefined, that is if no test image has the class or, for some
metrics, if all have it. A mean over classes with a NaN is NaN too: no class is dropped silently.
`splits.stratified_split` makes parts in which this does not happen.
"""

import dataclasses
import math

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, Shaped
from examine_jax.labelled.class_codes import class_codes


@dataclasses.dataclass(frozen=True)
class ClassificationMetrics:
    """Metrics of a classifier that assigns one class to each image, in [0, 1] or NaN.

    Attributes:
        accuracy: the share of images classified correctly.
        weighted_f1: the mean F1 score over classes, weighted by their numbers of images.
        balanced_accuracy: the mean recall over classes, also called balanced multi-class accuracy
            (BMA).
        macro_auroc: the mean over classes of the area under the ROC curve, one class against rest.
        macro_average_precision: the mean over classes of the average precision.
        class_recall, class_auroc, class_average_precision: the metrics of each class.
        num_images: the number of test images of each class.
    """

    accuracy: float
    weighted_f1: float
    balanced_accuracy: float
    macro_auroc: float
    macro_average_precision: float
    class_recall: tuple[float, ...]
    class_auroc: tuple[float, ...]
    class_average_precision: tuple[float, ...]
    num_images: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class MultiLabelMetrics:
    """Metrics of a classifier whose images have any number of labels, in [0, 1] or NaN.

    Attributes:
        macro_auroc, macro_average_precision: means over labels.
        class_auroc, class_average_precision: the metrics of each label.
        num_images: the number of test images with each label.
    """

    macro_auroc: float
    macro_average_precision: float
    class_auroc: tuple[float, ...]
    class_average_precision: tuple[float, ...]
    num_images: tuple[int, ...]


def classification_metrics(
    labels: Int[np.ndarray, " labels"], scores: Float[np.ndarray, "n classes"]
) -> ClassificationMetrics:
    """The metrics of a classifier with one class an image.

    Args:
        labels: the class of each image, [N].
        scores: [N, classes]; the predicted class has the highest score, the first one among ties.

    Raises:
        ValueError: there is no image, there is not one row of scores a label, a label lies outside
            the classes, or scores are not finite.
    """
    num_classes = scores.shape[1]
    if len(labels) != len(scores):
        raise ValueError(f"{len(scores)} rows of scores for {len(labels)} labels; give one each")
    is_class = one_hot(labels, num_classes)
    areas = _ranking_metrics(is_class, scores)
    predicted = scores.argmax(axis=1)
    recall = class_recall(labels, predicted, num_classes)
    return ClassificationMetrics(
        accuracy=accuracy(labels, predicted),
        weighted_f1=weighted_f1(labels, predicted),
        balanced_accuracy=float(recall.mean()),
        macro_auroc=areas.macro_auroc,
        macro_average_precision=areas.macro_average_precision,
        class_recall=tuple(recall.tolist()),
        class_auroc=areas.class_auroc,
        class_average_precision=areas.class_average_precision,
        num_images=areas.num_images,
    )


def multilabel_metrics(
    labels: Bool[np.ndarray, "n labels"] | Int[np.ndarray, "n labels"],
    scores: Float[np.ndarray, "n classes"],
) -> MultiLabelMetrics:
    """The metrics of a classifier with any number of labels an image.

    Args:
        labels: [N, classes], true or 1 where an image has the label.
        scores: [N, classes]; a higher score means a more likely label.

    Raises:
        ValueError: there is no image, the shapes differ, labels are not 0 and 1, or scores are not
            finite.
    """
    if labels.shape != scores.shape:
        raise ValueError(
            f"labels {list(labels.shape)} and scores {list(scores.shape)}: give one score a label"
        )
    outside = np.flatnonzero(~np.isin(labels, (0, 1)).all(axis=1))
    if len(outside):
        raise ValueError(
            f"labels of row {outside[0]} are not 0 and 1 ({len(outside)} such rows): code unsure "
            "ones as 0 or 1"
        )
    return _ranking_metrics(labels.astype(bool), scores)


def accuracy(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " predictions"]) -> float:
    """The share of images [N] classified correctly.

    Raises:
        ValueError: there is not one prediction an image.
    """
    _one_each(labels, predicted)
    return float(np.mean(labels == predicted))


def weighted_f1(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]) -> float:
    """The mean F1 score over classes, weighted by their numbers of images.

    A class that is never predicted has an F1 score of 0.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predicted, average="weighted", zero_division=0))


def balanced_accuracy(
    labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], num_classes: int
) -> float:
    """The mean recall over classes (BMA).

    It is NaN if a class has no image; scikit-learn would leave that class out of the mean.
    """
    return float(class_recall(labels, predicted, num_classes).mean())


def class_recall(
    labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " predictions"], num_classes: int
) -> Float[np.ndarray, " classes"]:
    """The recall of each class, [classes]; NaN for a class without images.

    Raises:
        ValueError: there is not one prediction an image, or a label lies outside the classes.
    """
    _one_each(labels, predicted)
    labels = class_codes(labels, len(labels), num_classes)
    images = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels[labels == predicted], minlength=num_classes)
    return np.divide(right, images, out=np.full(num_classes, math.nan), where=images > 0)


def one_hot(labels: Int[np.ndarray, " n"], num_classes: int) -> Bool[np.ndarray, "n classes"]:
    """One-hot labels [N, classes].

    Raises:
        ValueError: a label lies outside the classes.
    """
    return class_codes(labels, len(labels), num_classes)[:, None] == np.arange(num_classes)


def _one_each(labels: Int[np.ndarray, " n"], predicted: Shaped[np.ndarray, "..."]) -> None:
    if predicted.shape != labels.shape:
        raise ValueError(
            f"{list(predicted.shape)} predictions for {list(labels.shape)} labels: give one class "
            "an image"
        )


def _ranking_metrics(
    labels: Bool[np.ndarray, "n classes"], scores: Float[np.ndarray, "n classes"]
) -> MultiLabelMetrics:
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not len(labels):
        raise ValueError("there is no test image")
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise ValueError(
            f"scores of rows {bad[:8].tolist()} are not finite ({len(bad)} in all): the classifier "
            "diverged, or these images' "
            "features are not finite"
        )
    auroc, precision = [], []
    for own, score in zip(labels.T, scores.T):
        both = own.any() and not own.all()
        auroc.append(float(roc_auc_score(own, score)) if both else math.nan)
        precision.append(float(average_precision_score(own, score)) if own.any() else math.nan)
    return MultiLabelMetrics(
        macro_auroc=float(np.mean(auroc)),
        macro_average_precision=float(np.mean(precision)),
        class_auroc=tuple(auroc),
        class_average_precision=tuple(precision),
        num_images=tuple(labels.sum(axis=0).tolist()),
    )
