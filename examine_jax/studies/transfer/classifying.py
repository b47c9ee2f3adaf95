"""What labels are worth to an encoder: a linear probe on its features, or all of it fine-tuned."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from examine_jax.common.shapes import Float, Int, Shaped, UInt8
from examine_jax.encoders import Encoder
from examine_jax.evaluation.bootstrap import bootstrap_interval
from examine_jax.evaluation.fine_tuning import fine_tune
from examine_jax.evaluation.linear_probe import LinearProbe
from examine_jax.evaluation.metrics import balanced_accuracy
from examine_jax.features.preprocessing import FeatureStatistics, preprocess
from examine_jax.images.augmentation import Compose, Flip, RandomResizedCrop
from examine_jax.labelled.sets import LabelledImages
from examine_jax.studies.transfer.sets import TransferSplit
from examine_jax.studies.transfer.settings import TransferSettings


def probed(
    features: Float[np.ndarray, "n d"],
    images: LabelledImages,
    split: TransferSplit,
    share: float,
    settings: TransferSettings,
) -> Float[np.ndarray, "t classes"]:
    """Returns the held-out images' scores by a linear probe on the labelled images' features.

    Features are standardised over the whole pool, which needs no labels.
    """
    exact = features.astype(np.float64)
    scaled = preprocess(exact, "zscore", FeatureStatistics.of(exact[split.pool]))
    rows = split.labelled[share]
    classifier = LinearProbe(l2=settings.l2, standardise=False).fit(
        scaled[rows], images.labels[rows], num_classes=len(images.classes)
    )
    return classifier.scores(scaled[split.test])


def tuned(
    encoder: Encoder,
    pixels: UInt8[np.ndarray, "n h w c"],
    images: LabelledImages,
    split: TransferSplit,
    share: float,
    settings: TransferSettings,
    seed: int,
    *,
    from_scratch: bool,
) -> Float[np.ndarray, "t classes"]:
    """Returns the held-out images' scores by the encoder with a head, trained on the labels.

    Labelled images are repeated until they fill all steps, so that every share trains equally long
    by one compiled program.

    Args:
        encoder: where the training starts.
        pixels: of all images, at the encoder's size.
        images: all images.
        split: of the seed.
        share: of the labels.
        settings: of the study.
        seed: of the head, the order and the augmentation.
        from_scratch: whether the encoder is untrained, which takes another learning rate.

    Raises:
        DivergedError: the loss is not finite.
    """
    rows = repeated(split.labelled[share], settings.tuning_steps * settings.tuning_batch, seed)
    size = encoder.image_size
    classifier = fine_tune(
        encoder,
        pixels[rows],
        images.labels[rows],
        num_classes=len(images.classes),
        training=settings.tuning(seed, from_scratch=from_scratch),
        augmentation=Compose(
            (RandomResizedCrop(size, (0.35, 1.0), interpolation="bilinear"), Flip())
        ),
    )
    return classifier.scores(pixels[split.test], batch_size=64)


def repeated(rows: Int[np.ndarray, " k"], count: int, seed: int) -> Int[np.ndarray, " count"]:
    """Returns `count` of the rows: each as often as any other, up to one time."""
    generator = np.random.default_rng(seed)
    rounds = [generator.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(rounds)[:count]


def figures(
    scores: Float[np.ndarray, "t classes"],
    labels: Int[np.ndarray, " t"],
    groups: Shaped[np.ndarray, " t"] | None,
    settings: TransferSettings,
    seed: int,
) -> dict[str, Any]:
    """Returns balanced accuracy and AUROC of held-out images with their intervals, as plain values.

    Args:
        scores: of the held-out images.
        labels: of these.
        groups: of these, drawn whole; None: each image is drawn by itself.
        settings: of the study.
        seed: of the draws, which are the same for all encoders of a seed.
    """
    predicted, classes = scores.argmax(axis=1), scores.shape[1]
    units = np.arange(len(labels)) if groups is None else groups
    found = {}
    for name, statistic in (
        ("balanced_accuracy", lambda r: balanced_accuracy(labels[r], predicted[r], classes)),
        ("auroc", lambda r: macro_auroc(labels[r], scores[r])),
    ):
        interval = bootstrap_interval(statistic, units, seed=seed, num_draws=settings.draws)
        found[name] = [interval.value, interval.low, interval.high, interval.num_undefined]
    return found


def macro_auroc(labels: Int[np.ndarray, " t"], scores: Float[np.ndarray, "t classes"]) -> float:
    """Returns the mean over classes of the area under the ROC curve, one class against the rest.

    By ranks (Mann and Whitney), fast enough for a bootstrap. NaN if a class has no image or all.
    """
    is_class = labels[:, None] == np.arange(scores.shape[1])
    inside = is_class.sum(axis=0)
    outside = len(labels) - inside
    if not (inside.all() and outside.all()):
        return float("nan")
    ranks = rankdata(scores, axis=0)
    above = (ranks * is_class).sum(axis=0) - inside * (inside + 1) / 2
    return float((above / (inside * outside)).mean())
