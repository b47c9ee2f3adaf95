"""How well a ranking separates images by the noise added to them (EXAMINE, section 4.2)."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import Float


@dataclasses.dataclass(frozen=True)
class NoiseSeparation:
    """How well the gap separates noise levels. Each tuple has one entry per level, ascending.

    Attributes:
        rank_correlation: Spearman's, of gap and level, in [-1, 1]: positive if the gap rises with
            the noise, as the paper claims; NaN if all gaps are equal. The score's has the opposite
            sign, and differs only by ties of the score, where exp(-gap) rounds to 1 or 0.
        levels: the noise levels; 0 is clean.
        auroc: the area under the ROC curve of the gap as a detector of that level against clean
            images: 1 if every noisy image has a larger gap than every clean one, .5 by chance. NaN
            at level 0, and at every level if no image is clean.
        num_images: how many images have that level.
    """

    rank_correlation: float
    levels: tuple[float, ...]
    auroc: tuple[float, ...]
    num_images: tuple[int, ...]


def noise_separation(
    gap: Float[np.ndarray, " n"], level: Float[np.ndarray, " n"]
) -> NoiseSeparation:
    """Measures how well the gap separates noise levels.

    Args:
        gap: [N].
        level: [N], 0 for clean images.

    Raises:
        ValueError: all images have one level; a gap or level is not finite, or a level is negative
            (in which rows).
    """
    from scipy.stats import spearmanr
    from sklearn.metrics import roc_auc_score

    for name, values in (("gap", gap), ("level", level)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                f"the {name} is not finite in rows {bad[:8].tolist()} ({len(bad)} in all): leave "
                "these images out"
            )
    if (level < 0).any():
        raise ValueError(
            f"a noise level is negative in rows {np.flatnonzero(level < 0)[:8].tolist()}; levels "
            "count from 0, clean"
        )
    levels, num_images = np.unique(level, return_counts=True)
    if len(levels) < 2:
        found = (
            f"all {len(level)} images have level {levels[0]:g}"
            if len(levels)
            else "there is no image"
        )
        raise ValueError(f"{found}: separation needs images of at least two noise levels")
    constant = gap.min() == gap.max()
    correlation = math.nan if constant else float(spearmanr(gap, level).statistic)
    clean = level == 0
    auroc = []
    for value in levels:
        compared = clean | (level == value)
        undefined = value == 0 or not clean.any()
        auroc.append(
            math.nan if undefined else float(roc_auc_score(level[compared] > 0, gap[compared]))
        )
    return NoiseSeparation(
        correlation, tuple(levels.tolist()), tuple(auroc), tuple(num_images.tolist())
    )


def mean_over_seeds(separations: Sequence[NoiseSeparation]) -> NoiseSeparation:
    """Averages correlations and areas over runs with different seeds; sums `num_images`.

    A NaN in one run makes the mean NaN: no run is dropped silently.

    Raises:
        ValueError: there is no run, or the runs have different levels.
    """
    if not separations:
        raise ValueError(
            "there is no run to take the mean of; give the separation of at least one seed"
        )
    levels = separations[0].levels
    for separation in separations:
        if separation.levels != levels:
            raise ValueError(
                f"the runs have different noise levels, {levels} and {separation.levels}: they "
                "have no common mean"
            )
    return NoiseSeparation(
        rank_correlation=float(
            np.mean([separation.rank_correlation for separation in separations])
        ),
        levels=levels,
        auroc=tuple(np.mean([separation.auroc for separation in separations], axis=0).tolist()),
        num_images=tuple(
            np.sum([separation.num_images for separation in separations], axis=0).tolist()
        ),
    )
