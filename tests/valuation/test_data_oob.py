"""Data-OOB against scikit-learn's fits to the same bags; resumed, merged, refused."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression as Sklearn

from examine_jax.valuation import DataOOB, merge_states
from examine_jax.valuation.valuation import seeds_of
from tests.support.labelled_rows import labelled_rows

KEY = jax.random.key(0)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_share_of_models_without_the_row_that_know_its_label(classes: int) -> None:
    features, labels = labelled_rows(40, 4, classes)
    found = DataOOB(bags=24).value(features, labels, KEY)
    right, out = np.zeros(40), np.zeros(40)
    fits = 0
    for seed in seeds_of(KEY, np.arange(24)):
        bag = seed.integers(40, size=40)
        if len(np.unique(labels[bag])) < classes:
            continue
        fits += 1
        without = np.setdiff1d(np.arange(40), bag)
        if classes == 2:
            predicted = (
                Sklearn(solver="liblinear", tol=1e-12, max_iter=5000)
                .fit(features[bag], labels[bag])
                .predict(features)
            )
        else:  # liblinear's one against the rest
            each = [
                Sklearn(solver="liblinear", tol=1e-12, max_iter=5000).fit(
                    features[bag], labels[bag] == one
                )
                for one in range(classes)
            ]
            predicted = np.stack([model.decision_function(features) for model in each]).argmax(
                axis=0
            )
        right[without] += predicted[without] == labels[without]
        out[without] += 1
    np.testing.assert_allclose(found.values, right / out, atol=1e-12)
    assert found.diagnostics["fits"] == fits


def test_wrong_labels_are_found() -> None:
    features, _ = labelled_rows(60, 4, 2)
    clean = (features[:, 0] < features[:, 1]).astype(np.int64)
    wrong = np.where(np.arange(60) < 6, 1 - clean, clean)
    found = DataOOB(bags=32).value(features, wrong, KEY)
    assert found.values[:6].mean() < 0.5 < found.values[6:].mean()
    assert spearmanr(found.values, wrong == clean).statistic > 0.3
    assert found.standard_error is not None
    assert found.diagnostics["fits"] == 32


def test_killed_and_resumed_or_in_parts_and_merged_gives_the_same(tmp_path: pathlib.Path) -> None:
    features, labels = labelled_rows(30, 3, 2)
    valuer = DataOOB(bags=48, at_once=16)
    expected = valuer.value(features, labels, KEY).values

    def killed(done: int, _: int) -> None:
        if done > 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        valuer.value(features, labels, KEY, on_progress=killed, state=tmp_path / "killed.npz")
    resumed = valuer.value(features, labels, KEY, state=tmp_path / "killed.npz")
    np.testing.assert_array_equal(resumed.values, expected)

    parts = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for first, part in zip((0, 24), parts):
        some = dataclasses.replace(valuer, first=first, bags=24)
        some.value(features, labels, KEY, state=part)
    merge_states(parts, tmp_path / "all.npz")
    merged = valuer.value(features, labels, KEY, state=tmp_path / "all.npz")
    np.testing.assert_array_equal(merged.values, expected)


def test_a_class_of_one_row_and_too_few_bags_are_refused_with_their_reason() -> None:
    features, labels = labelled_rows(20, 3, 2)
    with pytest.raises(ValueError, match=r"classes \[2\] have one row each"):
        DataOOB(bags=8).value(features, np.where(np.arange(20) == 5, 2, labels), KEY)
    with pytest.raises(ValueError, match="draw more bags than 1"):
        DataOOB(bags=1).value(features, labels, KEY)
