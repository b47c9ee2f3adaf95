"""Separation of noise levels, against scipy's rank statistics."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, pearsonr, rankdata

from examine_jax.evaluation.noise_separation import (
    NoiseSeparation,
    mean_over_seeds,
    noise_separation,
)

_LEVELS = np.repeat([0.0, 0.1, 0.3, 0.5, 1.0], 40)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [1, 6], ids=["with ties", "without ties"])
def test_agrees_with_rank_statistics(dtype, decimals):
    gap = np.round(_LEVELS + np.random.default_rng(0).standard_normal(200), decimals).astype(dtype)
    separation = noise_separation(gap, _LEVELS)
    assert separation.rank_correlation == pytest.approx(
        pearsonr(rankdata(gap), rankdata(_LEVELS)).statistic, abs=1e-12
    )
    assert separation.levels == (0.0, 0.1, 0.3, 0.5, 1.0)
    assert separation.num_images == (40,) * 5
    assert math.isnan(separation.auroc[0])
    for level, area in zip(separation.levels[1:], separation.auroc[1:]):
        expected = mannwhitneyu(gap[level == _LEVELS], gap[_LEVELS == 0]).statistic / 1600
        assert area == pytest.approx(expected, abs=1e-12)


def test_is_the_score_s_correlation_with_the_sign_turned():
    gap = 0.1 * (_LEVELS + np.random.default_rng(0).standard_normal(200))
    from scipy.stats import spearmanr

    assert noise_separation(gap, _LEVELS).rank_correlation == pytest.approx(
        -spearmanr(np.exp(-gap), _LEVELS).statistic
    )


def test_gap_that_rises_with_noise_is_positive_and_perfect():
    separation = noise_separation(_LEVELS + 0.01, _LEVELS)
    assert separation.rank_correlation == pytest.approx(1.0)
    assert separation.auroc[1:] == (1.0,) * 4
    assert noise_separation(-_LEVELS, _LEVELS).auroc[1:] == (0.0,) * 4


def test_equal_gaps_separate_nothing():
    separation = noise_separation(np.ones(200, np.float32), _LEVELS)
    assert math.isnan(separation.rank_correlation)
    assert separation.auroc[1:] == (0.5,) * 4


def test_without_clean_images_there_is_a_correlation_alone():
    separation = noise_separation(np.arange(4.0), np.array([0.1, 0.1, 1.0, 1.0]))
    assert separation.rank_correlation == pytest.approx(
        pearsonr([1, 2, 3, 4], [1.5, 1.5, 3.5, 3.5]).statistic
    )
    assert all(map(math.isnan, separation.auroc))


@pytest.mark.parametrize(
    ("gap", "level", "message"),
    [
        ([1.0, 2.0], [0.0, 0.0], "all 2 images have level 0"),
        ([1.0], [0.5], "all 1 images have level 0.5"),
        ([], [], "there is no image"),
        ([1.0, np.nan, 3.0], [0.0, 1.0, 1.0], r"gap is not finite in rows \[1\]"),
        ([1.0, np.inf, 3.0], [0.0, 1.0, 1.0], r"gap is not finite in rows \[1\]"),
        ([1.0, 2.0, 3.0], [0.0, 1.0, np.nan], r"level is not finite in rows \[2\]"),
        ([1.0, 2.0], [0.0, -1.0], r"negative in rows \[1\]"),
    ],
)
def test_what_cannot_be_measured_is_refused(gap, level, message):
    with pytest.raises(ValueError, match=message):
        noise_separation(np.array(gap, float), np.array(level, float))


def test_mean_over_seeds():
    first = NoiseSeparation(0.5, (0.0, 1.0), (math.nan, 0.8), (10, 12))
    second = NoiseSeparation(0.7, (0.0, 1.0), (math.nan, 0.9), (10, 8))
    mean = mean_over_seeds([first, second])
    assert mean.rank_correlation == pytest.approx(0.6)
    assert mean.auroc[1] == pytest.approx(0.85)
    assert mean.num_images == (20, 20)
    assert mean.levels == (0.0, 1.0)


def test_runs_without_a_common_mean_are_refused():
    first = NoiseSeparation(0.5, (0.0, 1.0), (math.nan, 0.8), (10, 10))
    second = NoiseSeparation(0.5, (0.0, 0.5), (math.nan, 0.8), (10, 10))
    with pytest.raises(ValueError, match="different noise levels"):
        mean_over_seeds([first, second])
    with pytest.raises(ValueError, match="at least one seed"):
        mean_over_seeds([])
