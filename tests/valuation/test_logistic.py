"""Coefficients equal scikit-learn's at tol=1e-12 for all objectives, forms and shared work."""

from typing import Any

import jax
import numpy as np
import pytest

from examine_jax.valuation.logistic.regression import Fitter, LogisticRegression, fit_logistic
from tests.support.labelled_rows import labelled_rows, sklearn_fit

CASES = [
    (rows, width, classes, objective)
    for rows, width in ((40, 64), (70, 12))
    for classes in (2, 3)
    for objective in ("liblinear", "lbfgs")
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def case(request: pytest.FixtureRequest) -> tuple[Any, Any, str, Fitter]:
    rows, width, classes, objective = request.param
    features, labels = labelled_rows(rows, width, classes)
    return features, labels, objective, Fitter.of(features, labels, LogisticRegression(objective))


def _close(found: tuple[Any, Any], at: int, expected: Any) -> None:
    weights, intercept = (np.asarray(part) for part in found)
    np.testing.assert_allclose(weights[..., at].T, expected.coef_, atol=1e-4)
    np.testing.assert_allclose(intercept[:, at], expected.intercept_, atol=1e-4)


def test_the_full_fit(case: tuple[Any, Any, str, Fitter]) -> None:
    features, labels, objective, fitter = case
    expected = sklearn_fit(features, labels, objective)
    _close(fitter.coefficients(fitter.full), 0, expected)
    found = fit_logistic(features, labels, LogisticRegression(objective))
    np.testing.assert_allclose(found.weights, expected.coef_, atol=1e-4)
    np.testing.assert_allclose(found.intercept, expected.intercept_, atol=1e-4)


def test_leaving_one_out_is_fitting_to_the_others(case: tuple[Any, Any, str, Fitter]) -> None:
    features, labels, objective, fitter = case
    fits = fitter.leave_one_out(np.arange(len(labels)))
    assert float(np.asarray(fits.residual).max()) <= fitter.tolerance
    found = fitter.coefficients(fits)
    for row in (0, int(fitter.by_influence()[-1])):
        _close(
            found, row, sklearn_fit(np.delete(features, row, 0), np.delete(labels, row), objective)
        )


def test_prefixes_are_fits_to_their_rows(case: tuple[Any, Any, str, Fitter]) -> None:
    features, labels, objective, fitter = case
    orders = np.stack([np.random.default_rng(seed).permutation(len(labels)) for seed in (1, 2)])
    ordered, fits = fitter.order(orders), None
    for start in (16, 32):
        sizes = np.arange(start, start + 8)
        fits = fitter.prefixes(ordered, fits, sizes)
        assert float(np.asarray(fits.residual).max()) <= fitter.tolerance
        for which, order in enumerate(orders):
            with jax.enable_x64(True):
                one = jax.tree.map(lambda part: part[which], fits)  # noqa: B023
                coefficients, intercept = (np.asarray(part) for part in fitter.parts(one))
            if fitter.is_dual:
                held = features[order[: len(coefficients)]]
                coefficients = np.einsum("nd,ncb->dcb", held, coefficients)
            rows = order[: start + 3]
            _close(
                (coefficients, intercept), 3, sklearn_fit(features[rows], labels[rows], objective)
            )


def test_rows_may_count_often_or_not_at_all() -> None:
    features, labels = labelled_rows(40, 64, 2)
    counts = np.random.default_rng(1).integers(0, 3, size=(2, 40)).astype(np.float64)
    fitter = Fitter.of(features, labels, LogisticRegression("lbfgs"))
    found = fitter.coefficients(fitter.subsets(counts))
    for at, count in enumerate(counts):
        there = count > 0
        _close(found, at, sklearn_fit(features[there], labels[there], "lbfgs", count[there]))


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_badly_scaled_constant_and_repeated_rows_are_fitted_to_the_optimum(scale: float) -> None:
    features, labels = labelled_rows(40, 64, 2)
    features = np.concatenate([features[:30], features[:10]]) * scale
    features[:, 5] = 7.0
    fitter = Fitter.of(
        features, np.concatenate([labels[:30], 1 - labels[:10]]), LogisticRegression()
    )
    fits = fitter.leave_one_out(np.arange(40))
    assert np.isfinite(np.asarray(fits.coefficients)).all()
    assert float(np.asarray(fits.residual).max()) <= fitter.tolerance


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"C": 0.0}, "C must be"),
        ({"tolerance": 2.0}, "tolerance must"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        LogisticRegression(**settings)


def test_a_missing_class_is_refused() -> None:
    features, labels = labelled_rows(10, 4, 2)
    with pytest.raises(ValueError, match="rows of all 2 classes"):
        fit_logistic(features, np.zeros_like(labels))
