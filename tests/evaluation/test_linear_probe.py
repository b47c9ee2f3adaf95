"""Logistic regression, against scikit-learn's."""

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from examine_jax.evaluation import linear_probe
from examine_jax.evaluation.linear_probe import LinearProbe


def _data(seed=0, count=150, width=6, classes=3):
    rng = np.random.default_rng(seed)
    centres = 1.5 * rng.standard_normal((classes, width))
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    return (centres[labels] + rng.standard_normal((count, width))).astype(np.float32), labels


def _reference(features, labels, l2):
    model = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000)
    return model.fit(features.astype(np.float64), labels)


@pytest.mark.parametrize("block", [4096, 64], ids=["one block", "ragged blocks"])
@pytest.mark.parametrize("l2", [1.0, 100.0])
def test_optimum_equals_scikit_learn_s(block, l2, monkeypatch):
    monkeypatch.setattr(linear_probe, "_BLOCK", block)
    features, labels = _data()
    found = LinearProbe(l2=l2, standardise=False, tolerance=1e-6).fit(
        features, labels, num_classes=3
    )
    model = _reference(features, labels, l2)
    # The bias is free up to a constant common to all classes.
    np.testing.assert_allclose(found.weights.T, model.coef_, atol=2e-4)
    np.testing.assert_allclose(
        found.bias - found.bias.mean(), model.intercept_ - model.intercept_.mean(), atol=5e-4
    )
    np.testing.assert_allclose(found.scores(features), model.predict_proba(features), atol=2e-4)


def test_standardised_optimum_equals_scikit_learn_s_with_a_scaler():
    features, labels = _data()
    features = features * np.geomspace(1e-4, 1e4, 6, dtype=np.float32) + np.float32(100)
    features[:, 3] = 7.0  # a constant feature
    found = LinearProbe().fit(features, labels, num_classes=3)
    scaler = StandardScaler().fit(features.astype(np.float64))
    model = _reference(scaler.transform(features.astype(np.float64)), labels, 1.0)
    expected = model.predict_proba(scaler.transform(features.astype(np.float64)))
    np.testing.assert_allclose(found.scores(features), expected, atol=3e-4)
    assert found.converged


def test_a_constant_float64_column_has_no_effect():
    features, labels = _data()
    features = np.concatenate(
        [features.astype(np.float64), np.full((len(features), 1), 0.1)], axis=1
    )
    found = LinearProbe().fit(features, labels, num_classes=3)
    others = features + 0.01 * (np.arange(7) == 6)
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-9, max_iter=10000)).fit(
        features, labels
    )
    np.testing.assert_allclose(found.scores(others), model.predict_proba(others), atol=3e-4)


def test_memory_is_one_copy_of_the_features_and_blocks():
    features = np.random.default_rng(0).standard_normal((60_000, 32)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(int)
    tracemalloc.start()
    LinearProbe(max_iterations=1).fit(features, labels, num_classes=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * features.nbytes


def test_several_labels_equal_separate_binary_regressions():
    features, labels = _data()
    several = np.stack([labels == 0, labels != 1], axis=1).astype(int)
    found = LinearProbe(standardise=False, tolerance=1e-6).fit(features, several, num_classes=2)
    for column in range(2):
        expected = _reference(features, several[:, column], 1.0).predict_proba(features)[:, 1]
        np.testing.assert_allclose(found.scores(features)[:, column], expected, atol=2e-4)


def test_the_optimum_of_separable_classes_is_reached():
    features = np.repeat([[-10.0], [10.0]], 20, axis=0).astype(np.float32)
    found = LinearProbe().fit(features, np.repeat([0, 1], 20), num_classes=2)
    assert found.converged
    assert (found.scores(features).argmax(axis=1) == np.repeat([0, 1], 20)).all()


def test_running_out_of_iterations_is_reported():
    found = LinearProbe(max_iterations=2).fit(*_data(), num_classes=3)
    assert (found.converged, found.iterations) == (False, 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], "label 3 of row 2 is outside 0 .. 2"),
        ([0, 1, -1], "label -1 of row 2"),
        ([0, 1, 1], "class 2 has no training image"),
        ([0, 1, 2, 0], "3 rows of features have 4 labels"),
        ([[1, 0, 2]] * 3, "zeros and ones"),
        ([[1, 0, 1]] * 3, "class 1 has no training image"),
    ],
)
def test_invalid_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        LinearProbe().fit(np.eye(3, dtype=np.float32), np.array(labels), num_classes=3)


def test_non_finite_features_are_refused():
    features, labels = _data()
    features[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"rows \[4\]"):
        LinearProbe().fit(features, labels, num_classes=3)
    with pytest.raises(ValueError, match="l2"):
        LinearProbe(l2=0.0)


def test_a_large_constant_column_does_not_change_the_other_weights():
    generator = np.random.default_rng(0)
    features = 3 * generator.standard_normal((60, 4))
    labels = (features[:, 0] + generator.standard_normal(60) > 0).astype(int)
    probe = LinearProbe(standardise=False)
    with_constant = np.concatenate([np.full((60, 1), 1e18), features], axis=1)
    expected = probe.fit(features, labels, num_classes=2)
    found = probe.fit(with_constant, labels, num_classes=2)
    np.testing.assert_allclose(found.weights[1:], expected.weights, rtol=1e-3, atol=1e-4)
