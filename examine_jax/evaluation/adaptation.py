"""What an encoder is worth on a set of images: to compare frozen, adapted and new encoders.

All encoders are measured on the same images, with the same noise and artefacts. Labels, where there
are any, are used here alone.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from examine_jax.common.shapes import Bool, Float, Int, Num, Shaped, UInt8
from examine_jax.common.subset import subset_indices
from examine_jax.encoders import Encoder
from examine_jax.evaluation.coverage import CoverageCurve, coverage_curve
from examine_jax.evaluation.feature_rank import rank_me
from examine_jax.evaluation.linear_probe import LinearProbe
from examine_jax.evaluation.metrics import balanced_accuracy
from examine_jax.evaluation.noise_separation import noise_separation
from examine_jax.features.neighbours import knn_predict
from examine_jax.features.preprocessing import FeatureStatistics, preprocess
from examine_jax.images.artefacts import SUITED, corrupt_with_artefacts
from examine_jax.images.corruption import GaussianCorruption, corrupt
from examine_jax.labelled.splits import group_codes, stratified_split
from examine_jax.quality.outliers import distance_to_kth
from examine_jax.scoring import examine
from examine_jax.selection.selection import select

_MOST = 300  # images that are embedded three times: as they are, with noise, with artefacts
LEAST_IMAGES = 8
"""What a comparison of encoders needs."""
_NEIGHBOURS = 20  # at most; half as many as a class has images on average, in small sets
_CHOSEN = 0.1  # the share of the images that the coverage curve ends with
_CHANCE = 2.0  # standard errors within which a difference is called chance


@dataclasses.dataclass(frozen=True, eq=False)
class EncoderMeasures:
    """What an encoder's features show on some images; of all numbers, more is better.

    Attributes:
        rank_me: the effective rank of the features.
        noise_correlation: Spearman's, of EXAMINE's gap and the level of noise.
        noise_auroc: of the gap, for images with noise of any level against clean ones.
        artefact_auroc: of an outlier value in the features (the distance to the k-th neighbour),
            for images with made artefacts against clean ones.
        by_artefact: the same for each kind of artefact.
        coverage: how much of the set lies near chosen images, against random ones.
        knn, probe: balanced accuracy of the nearest neighbours' vote, and of a linear probe, on
            half of the labelled images; None: too few have a label.
        num_images, num_tested: images that were embedded, and labelled ones that were tested.
    """

    rank_me: float
    noise_correlation: float
    noise_auroc: float
    artefact_auroc: float
    by_artefact: Mapping[str, float]
    coverage: CoverageCurve
    knn: float | None
    probe: float | None
    num_images: int
    num_tested: int

    @property
    def covered(self) -> float:
        """The share of the set near the chosen images, less that near as many random ones."""
        return float(self.coverage.share[-1] - self.coverage.random[:, -1].mean())

    def measures(self) -> dict[str, "Measure"]:
        """All of them by what a page calls them."""
        count = self.num_images
        found = {
            "effective rank (RankMe)": Measure(self.rank_me, None, 1),
            "noise: rank correlation of the gap": Measure(self.noise_correlation, None, 3),
            "noise: AUROC of the gap": Measure(
                self.noise_auroc, _auroc_error(self.noise_auroc, count * 4 // 5, count // 5), 3
            ),
            "made artefacts: AUROC of the outlier value": Measure(
                self.artefact_auroc, _auroc_error(self.artefact_auroc, count // 2, count // 2), 3
            ),
            "coverage by chosen images, less by random ones": Measure(self.covered, None, 3),
        }
        for name, value in (
            ("balanced accuracy of nearest neighbours", self.knn),
            ("balanced accuracy of a linear probe", self.probe),
        ):
            if value is not None:
                error = math.sqrt(max(value * (1 - value), 0) / max(self.num_tested, 1))
                found[name] = Measure(value, error, 3)
        return found


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of an encoder.

    Attributes:
        value: it; more is better.
        error: its standard error over images; None: it is not known.
        digits: that are shown.
    """

    value: float
    error: float | None
    digits: int

    def __str__(self) -> str:
        return f"{self.value:.{self.digits}f}"


def measure_encoder(
    encoder: Encoder,
    pixels: Any,
    labels: Shaped[np.ndarray, " n"] | None = None,
    groups: Shaped[np.ndarray, " n"] | None = None,
    *,
    artefacts: Sequence[str] = SUITED["any"],
    most: int = _MOST,
    seed: int = 0,
) -> EncoderMeasures:
    """Measures an encoder on images of its size.

    Args:
        encoder: trained.
        pixels: uint8 [N, size, size, channels], or anything with len() that gives such images for
            int32 indices.
        labels: classes; negative numbers are unknown ones. None: there are none.
        groups: patients, slides or the like; none is both in the half that is learned from and in
            the half that is tested.
        artefacts: names of `images.artefacts.ARTEFACTS`.
        most: at most so many images are used.
        seed: of the images, the noise and the artefacts.

    Raises:
        ValueError: there are fewer than eight images.
    """
    if len(pixels) < LEAST_IMAGES:
        raise ValueError(
            f"{len(pixels)} images are too few to compare encoders: give {LEAST_IMAGES}"
        )
    rows = subset_indices(len(pixels), most, seed)
    if labels is not None:
        rows = _with_labels_first(labels, rows, most, seed)
    chosen: UInt8[np.ndarray, "n size size channels"] = np.asarray(pixels[rows.astype(np.int32)])
    features = encoder.embed(chosen)
    statistics = FeatureStatistics.of(features)

    def standardised(images: np.ndarray) -> Float[np.ndarray, "n d"]:
        return preprocess(encoder.embed(images), "zscore", statistics)

    noisy, level = corrupt(chosen, GaussianCorruption(), seed=seed)
    gap = np.asarray(examine(standardised(noisy)).gap)
    spoilt, kind = corrupt_with_artefacts(chosen, artefacts, 0.5, seed=seed)
    strange = distance_to_kth(
        standardised(spoilt).astype(np.float64), np.arange(len(spoilt), dtype=np.int64)
    )
    budget = max(1, round(_CHOSEN * len(features)))
    knn, probe, tested = None, None, 0
    if labels is not None:
        of_groups = None if groups is None else np.asarray(groups)[rows]
        knn, probe, tested = _accuracies(features, np.asarray(labels)[rows], of_groups, seed)
    return EncoderMeasures(
        rank_me(features),
        noise_separation(gap, level).rank_correlation,
        float(roc_auc_score(level > 0, gap)),
        float(roc_auc_score(kind >= 0, strange)),
        {name: _of_kind(kind, i, strange) for i, name in enumerate(artefacts) if (kind == i).any()},
        coverage_curve(
            features, np.asarray(select(features, budget, key=seed).indices), "zscore", seed=seed
        ),
        knn,
        probe,
        len(rows),
        tested,
    )


def compared(
    before: EncoderMeasures, after: EncoderMeasures
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sentences that say what is worse and what is better after than before.

    A difference within two standard errors is named as one that may be chance.
    """
    worse: list[str] = []
    better: list[str] = []
    old = before.measures()
    for name, now in after.measures().items():
        if name not in old:
            continue
        was = old[name]
        change = now.value - was.value
        if not math.isfinite(change) or str(now) == str(was):
            continue
        text = f"{name}: {was} -> {now}"
        errors = (was.error, now.error)
        if None not in errors and abs(change) <= _CHANCE * math.hypot(*map(float, errors)):  # type: ignore[arg-type]
            text += " (may be chance)"
        (worse if change < 0 else better).append(text)
    return tuple(worse), tuple(better)


def _of_kind(kind: Int[np.ndarray, " n"], number: int, strange: Float[np.ndarray, " n"]) -> float:
    rows = (kind == number) | (kind < 0)
    return float(roc_auc_score(kind[rows] >= 0, strange[rows]))


def _with_labels_first(
    labels: Shaped[np.ndarray, " n"], rows: Int[np.ndarray, " rows"], most: int, seed: int
) -> Int[np.ndarray, " chosen"]:
    """Rows of as many labelled images as may be used, then others: `len(rows)` in all."""
    known = np.flatnonzero(_known(labels))
    labelled = known[subset_indices(len(known), most, seed)]
    others = rows[~np.isin(rows, labelled)]
    filling = others[subset_indices(len(others), len(rows) - len(labelled), seed)]
    return np.sort(np.concatenate([labelled, filling]))


def _known(labels: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    values = np.asarray(labels)
    return values >= 0 if np.issubdtype(values.dtype, np.number) else np.ones(len(values), bool)


def _accuracies(
    features: Num[np.ndarray, "n d"],
    labels: Shaped[np.ndarray, " n"],
    groups: Shaped[np.ndarray, " n"] | None,
    seed: int,
) -> tuple[float | None, float | None, int]:
    """Balanced accuracies of neighbours and probe on one half, and the half's size."""
    rows = np.flatnonzero(_known(labels))
    own = np.arange(len(labels)) if groups is None else group_codes(groups)[1]
    classes, codes = np.unique(labels[rows], return_inverse=True)
    groups_of = [len(np.unique(own[rows[codes == one]])) for one in range(len(classes))]
    kept = np.array(groups_of, int) >= 2
    rows = rows[kept[codes]]
    classes, codes = np.unique(labels[rows], return_inverse=True)
    if len(classes) < 2:
        return None, None, 0
    fitted, tested = stratified_split(codes, own[rows], shares=(0.5, 0.5), seed=seed)
    count = len(classes)
    known, truth = codes[fitted].astype(np.int32), codes[tested].astype(np.int32)
    train, test = features[rows[fitted]], features[rows[tested]]
    statistics = FeatureStatistics.of(train)
    train, test = (preprocess(part, "zscore", statistics) for part in (train, test))
    voted = knn_predict(
        train,
        known,
        test,
        k=int(np.clip(len(train) // (2 * count), 1, _NEIGHBOURS)),
        num_classes=count,
    )
    probe = LinearProbe().fit(train, known, num_classes=count)
    probed = probe.scores(test).argmax(axis=1)
    found = [balanced_accuracy(truth, one, count) for one in (voted, probed)]
    return found[0], found[1], len(tested)


def _auroc_error(area: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil's standard error of an area under the ROC curve (Radiology 1982)."""
    positives, negatives = max(positives, 1), max(negatives, 1)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area)
        + (positives - 1) * (first - area**2)
        + (negatives - 1) * (second - area**2)
    )
    return math.sqrt(max(variance, 0) / (positives * negatives))
