"""Curves of adding and removing rows, against a loop over scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from examine_jax.evaluation.curves import (
    CURVE_KINDS,
    CodedRows,
    Curve,
    CurveSettings,
    adding_curve,
    best_first,
    curve_counts,
    mean_curve,
    removing_curve,
    valuation_curves,
)
from examine_jax.valuation.utility import FunctionGame, Utility


def draw(count: int, seed: int) -> CodedRows:
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = generator.normal(size=(count, 6)) + labels[:, None] * 0.8
    return CodedRows(features.astype(np.float32), labels)


ASSESSED, CLEAN, VALIDATION = draw(30, 0), draw(8, 1), draw(400, 2)
VALUES = np.random.default_rng(3).normal(size=30)


def sklearn_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    if len(np.unique(labels)) < 2:
        return float(np.bincount(VALIDATION.labels).max() / len(VALIDATION))
    model = LogisticRegression(solver="liblinear", tol=1e-12, max_iter=10_000).fit(
        features.astype(float), labels
    )
    return float((model.predict(VALIDATION.features.astype(float)) == VALIDATION.labels).mean())


def sklearn_curve(kind: str, order: np.ndarray, counts: np.ndarray) -> np.ndarray:
    taken = order if kind.endswith("best") else order[::-1]
    worth = []
    for count in counts:
        if kind.startswith("add"):
            chosen = taken[:count]
            features = np.concatenate([CLEAN.features, ASSESSED.features[chosen]])
            labels = np.concatenate([CLEAN.labels, ASSESSED.labels[chosen]])
        else:
            features, labels = ASSESSED.features[taken[count:]], ASSESSED.labels[taken[count:]]
        worth.append(sklearn_accuracy(features, labels))
    return np.array(worth)


def test_the_four_curves_are_those_of_a_loop_over_scikit_learn() -> None:
    settings = CurveSettings(step=7, removed=0.8, random_orders=2)
    progress: list[tuple[int, int]] = []
    utility = Utility(VALIDATION.features, VALIDATION.labels)
    curves = valuation_curves(
        utility,
        ASSESSED,
        CLEAN,
        {"some": VALUES},
        settings,
        seed=5,
        on_progress=lambda *at: progress.append(at),
    )
    ends = {"add": np.array([0, 7, 14, 21, 28, 30]), "rem": np.array([0, 7, 14, 21, 24])}
    orders = np.random.default_rng(5)
    shuffled = [orders.permutation(30) for _ in range(2)]
    for kind in CURVE_KINDS:
        assert set(curves[kind]) == {"some", "random"}
        curve, counts = curves[kind]["some"], ends[kind[:3]]
        np.testing.assert_array_equal(curve.counts, counts)
        np.testing.assert_array_equal(curve.worth, sklearn_curve(kind, np.argsort(-VALUES), counts))
        # A random order has one curve for "best" and "worst": that of the order itself.
        from_the_front = kind.replace("worst", "best")
        expected = np.mean(
            [sklearn_curve(from_the_front, order, counts) for order in shuffled], axis=0
        )
        np.testing.assert_allclose(curves[kind]["random"].worth, expected)
    assert progress[-1] == (8, 8)
    assert [done for done, _ in progress] == list(range(1, 9))


def test_curves_of_a_function_game_are_sums_of_its_rows() -> None:
    game = FunctionGame(6, lambda rows: float(rows.sum()))
    order = np.array([5, 3, 4])
    assert adding_curve(game, np.array([0, 1]), order, np.array([0, 1, 3])).worth.tolist() == [
        1,
        6,
        13,
    ]
    assert removing_curve(game, order, np.array([0, 2, 3])).worth.tolist() == [15, 7, 3]


def test_the_area_is_the_mean_height() -> None:
    assert Curve(np.array([0, 10, 15]), np.array([0.5, 1.0, 1.0])).area == pytest.approx(
        (7.5 + 5) / 15
    )
    assert Curve(np.array([0]), np.array([0.7])).area == 0.7
    mean = mean_curve(
        [
            Curve(np.array([0, 1]), np.array([0.0, 1.0])),
            Curve(np.array([0, 1]), np.array([1.0, 1.0])),
        ]
    )
    assert mean.worth.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("rows", "step", "share", "expected"),
    [
        (30, 10, 1.0, [0, 10, 20, 30]),
        (30, 10, 0.9, [0, 10, 20, 27]),
        (5, 100, 1.0, [0, 5]),
        (2, 1, 0.1, [0, 1]),
    ],
)
def test_steps_begin_at_zero_and_end_at_the_share(
    rows: int, step: int, share: float, expected: list[int]
) -> None:
    assert curve_counts(rows, step, share).tolist() == expected


def test_ties_are_shuffled_by_the_seed() -> None:
    values = np.repeat([0.0, 1.0], 50)
    order = best_first(values, 100, seed=0)
    assert (values[order] == np.repeat([1.0, 0.0], 50)).all()
    assert not (np.diff(order[:50]) > 0).all()
    np.testing.assert_array_equal(order, best_first(values, 100, seed=0))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (VALUES[:5], "5 finite values"),
        (np.where(np.arange(30) == 3, np.nan, VALUES), "29 finite values"),
    ],
)
def test_missing_or_non_finite_values_are_refused(values: np.ndarray, reason: str) -> None:
    utility = Utility(VALIDATION.features, VALIDATION.labels)
    with pytest.raises(ValueError, match=reason):
        valuation_curves(utility, ASSESSED, CLEAN, {"some": values}, seed=0)


def test_a_valuer_named_random_and_impossible_settings_are_refused() -> None:
    utility = Utility(VALIDATION.features, VALIDATION.labels)
    with pytest.raises(ValueError, match="always drawn"):
        valuation_curves(utility, ASSESSED, CLEAN, {"random": VALUES}, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        CurveSettings(step=0)
    with pytest.raises(ValueError, match="at most 1"):
        CurveSettings(removed=1.5)
    with pytest.raises(ValueError, match="same counts"):
        mean_curve([])
