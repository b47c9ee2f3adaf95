"""How well a ranking separates images by the noise that was added to them (EXAMINE, section 4.2)."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from examine_jax.common.shapes import Float


@dataclasses.dataclass(frozen=True)
class NoiseSeparation:
    """The separation of noise levels by the gap. The tuples have an entry a level, ascending.

    Attributes:
      rank_correlation: Spearman's, between gap and level; positive where the gap RISES with noise, as the paper claims. It is the
        correlation of the score with the level but for the sign (the score falls as the gap rises) and for ties that the score
        has and the gap has not, where exp(-gap) rounds to 1 or 0. In [-1, 1]; nan where all gaps are equal.
      levels: the levels of noise; 0 is clean.
      auroc: the area under the ROC curve of the gap as a detector of that level against the clean images: 1 where every noisy
        image has a larger gap than every clean one, .5 at chance. nan at level 0, and everywhere where no image is clean.
      num_images: how many images have that level.
    """

    rank_correlation: float
    levels: tuple[float, ...]
    auroc: tuple[float, ...]
    num_images: tuple[int, ...]


def noise_separation(gap: Float[np.ndarray, " n"], level: Float[np.ndarray, " n"]) -> NoiseSeparation:
    """Measures how well the gap [N] tells apart the levels [N] of noise, 0 for clean images.

    Raises:
      ValueError: all images have one level; a gap or level is not finite, or a level negative (the message names the rows).
    """
    for name, values in (("gap", gap), ("level", level)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                f"the {name} is not finite in rows {bad[:8].tolist()} ({len(bad)} in all): leave these images out"
            )
    if (level < 0).any():
        raise ValueError(
            f"a noise level is negative in rows {np.flatnonzero(level < 0)[:8].tolist()}; levels count from 0, clean"
        )
    levels, num_images = np.unique(level, return_counts=True)
    if len(levels) < 2:
        found = f"all {len(level)} images have level {levels[0]:g}" if len(levels) else "there is no image"
        raise ValueError(f"{found}: separation needs images of at least two noise levels")
    constant = gap.min() == gap.max()
    correlation = math.nan if constant else float(spearmanr(gap, level).statistic)
    clean = level == 0
    auroc = []
    for value in levels:
        compared = clean | (level == value)
        undefined = value == 0 or not clean.any()
        auroc.append(math.nan if undefined else float(roc_auc_score(level[compared] > 0, gap[compared])))
    return NoiseSeparation(correlation, tuple(levels.tolist()), tuple(auroc), tuple(num_images.tolist()))


def mean_over_seeds(separations: Sequence[NoiseSeparation]) -> NoiseSeparation:
    """The mean of the correlations and of the areas over runs with different seeds; `num_images` is the sum over the runs.

    A run in which a figure is nan makes its mean nan: no run is dropped in silence.

    Raises:
      ValueError: there is no run, or the runs have different levels.
    """
    if not separations:
        raise ValueError("there is no run to take the mean of; give the separation of at least one seed")
    levels = separations[0].levels
    for separation in separations:
        if separation.levels != levels:
            raise ValueError(
                f"the runs have different noise levels, {levels} and {separation.levels}: they have no common mean"
            )
    return NoiseSeparation(
        rank_correlation=float(np.mean([separation.rank_correlation for separation in separations])),
        levels=levels,
        auroc=tuple(np.mean([separation.auroc for separation in separations], axis=0).tolist()),
        num_images=tuple(np.sum([separation.num_images for separation in separations], axis=0).tolist()),
    )
