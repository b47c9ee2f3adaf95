"""Measures of collapse, against the papers' formulas in float64."""

import jax
import numpy as np
import pytest

from examine_jax.evaluation.feature_rank import feature_deviation, rank_me


def _rank(features):
    sigma = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    shares = sigma / sigma.sum() + 1e-7
    return np.exp(-(shares * np.log(shares)).sum())


@pytest.mark.parametrize("shape", [(300, 20), (20, 300), (1, 5), (5, 1), (5000, 8), (8, 5000)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rank_me_equals_the_paper_s_formula(shape, dtype):
    features = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    assert rank_me(features) == pytest.approx(_rank(features), rel=1e-6)


@pytest.mark.parametrize("decay", [1.0, 0.5, 0.1])
def test_rank_me_of_a_nearly_collapsed_float32_matrix_is_that_of_its_spectrum(decay):
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((n, 32)))[0] for n in (400, 64))
    sigma = decay ** np.arange(32)
    features = (left * sigma @ right.T).astype(np.float32)
    expected = np.exp(-sum(p * np.log(p) for p in sigma / sigma.sum() + 1e-7))
    assert rank_me(features) == pytest.approx(expected, rel=1e-3)


def test_rank_me_at_its_extremes():
    assert rank_me(np.eye(7, dtype=np.float32)) == pytest.approx(7, rel=1e-5)
    assert rank_me(np.ones((50, 7), np.float32)) == pytest.approx(1, rel=1e-4)
    assert rank_me(np.zeros((50, 7), np.float32)) == 0
    assert rank_me(np.eye(7, dtype=np.float32) * 1e30) == pytest.approx(7, rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rank_me_refuses_invalid_features(bad):
    with pytest.raises(ValueError, match="not finite"):
        rank_me(np.array([[1.0, bad]]))
    with pytest.raises(ValueError, match="at least one row"):
        rank_me(np.zeros((0, 3)))


def test_deviation_of_uniform_directions_and_of_collapsed_features():
    features = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert float(feature_deviation(features)) == pytest.approx(unit.std(axis=0).mean(), rel=1e-5)
    assert float(jax.jit(feature_deviation)(features)) == pytest.approx(1 / 8, rel=1e-2)
    one_way = np.random.default_rng(1).uniform(1, 9, (50, 1)).astype(np.float32) * features[:1]
    assert float(feature_deviation(one_way)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_deviation_of_any_scale_and_of_rows_of_zeros_is_finite(factor):
    features = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    assert float(feature_deviation(features * np.float32(factor))) == pytest.approx(
        float(feature_deviation(features))
    )
    assert float(feature_deviation(np.zeros((4, 3), np.float32))) == 0
