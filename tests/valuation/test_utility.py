"""What a set of rows is worth, against scikit-learn's fit and scikit-learn's metric."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from examine_jax.valuation import LogisticRegression, Utility
from examine_jax.valuation.metrics import METRICS
from tests.support.labelled_rows import labelled_rows, sklearn_fit

ROWS = 40


def _expected(metric: str, model: Any, features: Any, labels: Any) -> float:
    features = features.astype(np.float64)
    probability = model.predict_proba(features)
    if metric == "accuracy":
        return float(np.mean(model.predict(features) == labels))
    if metric == "balanced_accuracy":
        return float(sk.balanced_accuracy_score(labels, model.predict(features)))
    if metric == "log_loss":
        return -float(sk.log_loss(labels, probability))
    if probability.shape[1] == 2:
        return float(sk.roc_auc_score(labels, probability[:, 1]))
    return float(
        np.mean(
            [sk.roc_auc_score(labels == k, probability[:, k]) for k in range(probability.shape[1])]
        )
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("width", "classes", "objective", "dtype"),
    [
        (64, 2, "liblinear", np.float32),
        (64, 3, "lbfgs", np.float64),
        (12, 3, "liblinear", np.float32),
    ],
)
def test_worths_are_scikit_learns(
    metric: Any, width: int, classes: int, objective: Any, dtype: Any
) -> None:
    features, labels = labelled_rows(ROWS + 150, width, classes, dtype)
    rows, known = features[:ROWS], labels[:ROWS]
    game = Utility(features[ROWS:], labels[ROWS:], LogisticRegression(objective), metric).game(
        rows, known
    )

    def expected(members: Any) -> float:
        if len(np.unique(known[members])) < classes:
            return game.empty
        return _expected(
            metric,
            sklearn_fit(rows[members], known[members], objective),
            features[ROWS:],
            labels[ROWS:],
        )

    tolerance = 1e-12 if "accuracy" in metric else 1e-5
    everyone = np.arange(ROWS)
    assert game.full() == pytest.approx(expected(everyone), abs=tolerance)
    without = game.leave_one_out(lambda _: None)
    for row in (0, 7):
        assert without[row] == pytest.approx(expected(np.delete(everyone, row)), abs=tolerance)
    orders = np.stack([np.random.default_rng(seed).permutation(ROWS) for seed in (1, 2)])
    prefixes = np.concatenate([worth for worth, _ in game.prefixes(orders)], axis=1)
    assert prefixes.shape == (2, ROWS)
    for order, worths in zip(orders, prefixes):
        for size in (1, 2, 3, 5, 19, ROWS):
            assert worths[size - 1] == pytest.approx(expected(order[:size]), abs=tolerance), size
    members = np.random.default_rng(3).random((2, ROWS)) < 0.5
    for member, worth in zip(members, game.subsets(members)):
        assert worth == pytest.approx(expected(np.flatnonzero(member)), abs=tolerance)


def test_no_row_is_worth_the_majority_class() -> None:
    features, _ = labelled_rows(10, 3, 2)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    assert Utility(features, labels).game(features, labels).empty == 0.7


def test_a_classs_only_row_is_worth_all_that_a_model_is() -> None:
    features, labels = labelled_rows(30, 4, 2)
    rows, known = features[:8], np.array([0, 1, 1, 1, 1, 1, 1, 1])
    game = Utility(features, labels).game(rows, known)
    assert game.leave_one_out(lambda _: None)[0] == game.empty


X, Y = labelled_rows(20, 3, 2)


@pytest.mark.parametrize(
    ("features", "labels", "reason"),
    [
        (X, np.zeros(20, int), "two or more"),
        (X, np.where(Y == 1, 2, 0), "without a gap"),
        (np.where(np.arange(20)[:, None] == 4, np.nan, X), Y, r"not finite in rows \[4\]"),
        (X, Y[:-1], "20 rows and labels"),
        (X[:, :2], Y, "2 columns, the validation set's 3"),
        (X, np.where(np.arange(20) < 2, 2, Y), r"classes \[2\] are only in the assessed set"),
    ],
)
def test_rows_that_cannot_be_valued_are_refused(features: Any, labels: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Utility(X, Y).game(features, labels)


def test_the_bootstrapped_worth_leaves_out_resamples_in_which_auroc_has_no_value() -> None:
    features, labels = labelled_rows(60, 3, 2)
    rare = np.concatenate([np.flatnonzero(labels == 0)[:18], np.flatnonzero(labels == 1)[:2]])
    game = Utility(features[rare], labels[rare], metric="auroc").game(features, labels)
    model = sklearn_fit(features, labels, "liblinear")
    generator, found = np.random.default_rng(0), []
    for _ in range(40):
        drawn = rare[generator.integers(20, size=20)]
        if len(np.unique(labels[drawn])) == 2:
            found.append(_expected("auroc", model, features[drawn], labels[drawn]))
    assert len(found) < 40
    np.testing.assert_allclose(game.bootstrapped_full(40, seed=0), np.mean(found), atol=1e-9)
