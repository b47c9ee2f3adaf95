"""Logistic regression reaches the optimum at any scale of the features, or refuses.

The reference is scikit-learn. Weights of zero never come in silence.
"""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Reference

from examine_jax.valuation import LogisticRegression, Utility, fit_logistic

SCALES = (1e-8, 1e-6, 1e-3, 1.0, 1e3, 1e5, 1e7, 1e8)
SHAPES = [(40, 80), (120, 20)]


def rows(count: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(count)
    features = generator.normal(size=(count, width))
    scores = features[:, :classes] + generator.normal(size=(count, classes))
    return features, scores.argmax(1)


def objective(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, intercept: np.ndarray, kind: str
) -> float:
    """Returns what is minimised, in extended precision.

    scikit-learn's own result may be far from its optimum where features are large.
    """
    decisions = features.astype(np.longdouble) @ weights.T.astype(np.longdouble) + intercept
    penalty = np.sum(weights.astype(np.longdouble) ** 2) / 2
    if kind == "liblinear":
        penalty += np.sum(intercept.astype(np.longdouble) ** 2) / 2
    classes = max(2, len(intercept))
    targets = np.eye(classes)[labels]
    if len(intercept) == 1 or kind == "liblinear":
        sides = 2 * (targets[:, 1:] if classes == 2 else targets) - 1
        return float(penalty + np.logaddexp(0, -sides * decisions).sum())
    own = (targets * decisions).sum(1, keepdims=True)
    return float(penalty + np.log(np.exp(decisions - own).sum(1)).sum())


def reference(features: np.ndarray, labels: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    if kind == "liblinear" and labels.max() > 1:
        fits = [
            reference(features, (labels == label).astype(int), kind)
            for label in range(labels.max() + 1)
        ]
        return np.concatenate([w for w, _ in fits]), np.concatenate([b for _, b in fits])
    solver = "liblinear" if kind == "liblinear" else "newton-cg"
    fitted = Reference(solver=solver, tol=1e-12, max_iter=10_000).fit(features, labels)
    return fitted.coef_, fitted.intercept_


@pytest.mark.filterwarnings("ignore")  # scikit-learn's solvers do not always arrive
@pytest.mark.parametrize("kind", ["liblinear", "lbfgs"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=["dual", "primal"])
def test_the_objective_is_at_its_optimum_at_every_scale(
    shape: tuple[int, int], classes: int, kind: str
) -> None:
    features, labels = rows(*shape, classes)
    arrived = 0
    for scale in SCALES:
        try:
            found = fit_logistic(features * scale, labels, LogisticRegression(objective=kind))
        except ValueError as error:
            refusal = str(error)
            assert "scale the features" in refusal
            assert scale >= 1e7, "features of ordinary scales are fitted"
            continue
        arrived += 1
        ours = objective(features * scale, labels, found.weights, found.intercept, kind)
        theirs = objective(
            features * scale, labels, *reference(features * scale, labels, kind), kind
        )
        assert ours <= theirs * (1 + 1e-9), scale
        assert np.abs(found.weights).max() > 0
    assert arrived >= len(SCALES) - 2


def test_utilities_of_all_rows_do_not_change_where_the_penalty_no_longer_matters() -> None:
    generator = np.random.default_rng(0)
    features, labels = rows(60, 20, 2)
    validation = generator.normal(size=(300, 20))
    answers = (validation[:, 0] < validation[:, 1]).astype(int)
    worths = [
        Utility(validation * s, answers).game(features * s, labels).full()
        for s in (1e2, 1e4, 1e6, 1e8)
    ]
    assert max(worths) - min(worths) <= 0.01
    assert min(worths) > 0.6  # all-zero weights give the share of one class, about a half


@pytest.mark.parametrize("shape", SHAPES, ids=["dual", "primal"])
def test_repeated_columns_and_an_offset_are_fitted_or_refused(shape: tuple[int, int]) -> None:
    features, labels = rows(*shape, 2)
    repeated = np.repeat(features[:, ::2], 2, axis=1)
    for changed in (repeated, repeated * 1e6, features + 1e2, features + 1e8, features * 1e8 + 1e8):
        try:
            found = fit_logistic(changed, labels)
        except ValueError as error:
            refusal = str(error)
            assert "scale the features" in refusal
            continue
        ours = objective(changed, labels, found.weights, found.intercept, "liblinear")
        # The gradient at an optimum is zero: no step along it lowers the objective.
        decisions = changed.astype(np.longdouble) @ found.weights[0] + found.intercept[0]
        pull = labels - 1 / (1 + np.exp(-decisions))
        descent = changed.T.astype(np.longdouble) @ pull - found.weights[0]
        for step in 10.0 ** np.arange(-24, 1):
            moved = found.weights + step * descent.astype(float)[None]
            assert ours <= objective(changed, labels, moved, found.intercept, "liblinear") * (
                1 + 1e-6
            )
