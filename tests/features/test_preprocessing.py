"""What is done to features, against scikit-learn."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler, normalize

from examine_jax.features.preprocessing import FeatureStatistics, preprocess

FEATURES = np.random.default_rng(0).normal(3, 2, (50, 6)).astype(np.float32)


def test_nothing_is_nothing() -> None:
    assert preprocess(FEATURES, "none") is FEATURES


def test_l2_rows_are_scikit_learns_and_zero_rows_stay_zero() -> None:
    features = np.concatenate([FEATURES, np.zeros((1, 6), np.float32)])
    np.testing.assert_allclose(preprocess(features, "l2"), normalize(features), rtol=1e-6)


def test_z_scores_are_scikit_learns_also_against_another_set() -> None:
    np.testing.assert_allclose(
        preprocess(FEATURES, "zscore"),
        StandardScaler().fit_transform(FEATURES.astype(np.float64)),
        rtol=1e-4,
        atol=1e-6,
    )
    other = FEATURES[:20] * 2
    expected = StandardScaler().fit(other.astype(np.float64)).transform(FEATURES.astype(np.float64))
    np.testing.assert_allclose(
        preprocess(FEATURES, "zscore", FeatureStatistics.of(other)), expected, rtol=1e-4, atol=1e-5
    )


def test_a_constant_feature_becomes_zero() -> None:
    features = FEATURES.copy()
    features[:, 2] = 0.1
    assert (preprocess(features, "zscore")[:, 2] == 0).all()
    assert (preprocess(np.zeros((5, 3), np.float32), "zscore") == 0).all()


@pytest.mark.parametrize("unit", [3e6, 1e-9, 1e30])
def test_a_columns_unit_drops_no_other_column(unit: float) -> None:
    features = np.random.default_rng(4).normal(size=(20, 3))
    expected = preprocess(features, "zscore")
    np.testing.assert_allclose(preprocess(features * [1, unit, 1], "zscore"), expected)


@pytest.mark.parametrize("kind", ["none", "l2", "zscore"])
def test_the_dtype_is_kept_and_the_input_is_not_changed(kind: str) -> None:
    before = FEATURES.copy()
    for dtype in (np.float32, np.float64):
        assert preprocess(FEATURES.astype(dtype), kind).dtype == dtype  # type: ignore[arg-type]
    np.testing.assert_array_equal(FEATURES, before)


def test_a_reference_of_another_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="3 features, these rows have 6"):
        preprocess(FEATURES, "zscore", FeatureStatistics.of(FEATURES[:, :3]))
