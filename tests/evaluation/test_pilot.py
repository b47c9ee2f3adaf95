"""What a pilot says, on sets whose answer is known."""

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import t

from examine_jax.evaluation.pilot import PilotSettings, evaluate_pilot, learning_curve
from examine_jax.selection import FacilityLocation, Random

SETTINGS = PilotSettings(folds=3, repeats=1, budgets=3, draws=50)
STRATEGIES = {"random": Random(), "facility_location": FacilityLocation()}


def _pilot(count: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    kind = random.choice(3, p=[0.7, 0.2, 0.1], size=count)
    return np.eye(3)[kind] * 6 + random.normal(size=(count, 3)), kind


def test_the_encoder_that_sees_the_classes_wins() -> None:
    good, kind = _pilot()
    labels = np.array(["a", "b", "c"])[kind]
    noise = np.random.default_rng(1).normal(size=good.shape)
    seen: list[tuple[int, int]] = []
    found = evaluate_pilot(
        {"noise": noise, "good": good},
        labels,
        strategies=STRATEGIES,
        settings=SETTINGS,
        on_progress=lambda *x: seen.append(x),
    )
    assert found.encoder == "good"
    assert found.accuracy.shape == (2, 2, 3, 3)
    assert found.against_best["noise"].high < -0.2
    assert found.against_best["good"].mean == 0
    assert found.classes == ("a", "b", "c")
    assert found.num_labelled == 90
    assert found.budgets[0] == 6
    assert len(found.budgets) == 3
    # Few labels of rare classes: coverage finds them, random draws do not.
    few = found.accuracy[1, :, 0].mean(axis=1)
    assert few[1] >= few[0]
    assert set(found.against_random) == {"facility_location"}
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_groups_are_kept_whole_and_the_same_call_gives_the_same() -> None:
    good, kind = _pilot()
    groups = np.arange(90) // 2
    first, second = (
        evaluate_pilot(
            {"good": good}, kind, groups=groups, strategies=STRATEGIES, settings=SETTINGS
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.accuracy, second.accuracy)
    np.testing.assert_array_equal(first.curve.low, second.curve.low)


def test_a_columns_unit_does_not_matter() -> None:
    good, kind = _pilot()
    strategies = {"random": Random(preprocessing="zscore")}
    plain, scaled = (
        evaluate_pilot({"good": rows}, kind, strategies=strategies, settings=SETTINGS)
        for rows in (good, good * [1, 1e8, 1])
    )
    np.testing.assert_allclose(plain.accuracy, scaled.accuracy, atol=1e-6)


def test_intervals_are_nadeaus_and_bengios_and_hold_together() -> None:
    good, kind = _pilot()
    rounds = PilotSettings(folds=3, repeats=2, budgets=3, draws=10)
    strategies = {**STRATEGIES, "other": FacilityLocation(preprocessing="none")}
    found = evaluate_pilot({"good": good}, kind, strategies=strategies, settings=rounds)
    for place, name in enumerate(found.strategies[1:], 1):
        each = (found.accuracy[0, place] - found.accuracy[0, 0]).mean(axis=0)
        assert len(each) == 6
        error = np.sqrt((1 / 6 + 1 / 2) * each.var(ddof=1))
        reach = t.ppf(1 - 0.05 / 2 / 2, 5) * error
        compared = found.against_random[name]
        np.testing.assert_allclose(compared.low, each.mean() - reach)
        np.testing.assert_allclose(compared.high, each.mean() + reach)


def test_a_power_law_is_found_as_scipy_finds_it() -> None:
    labels = np.array([10, 20, 40, 80, 160])
    random = np.random.default_rng(3)
    accuracy = 0.9 - 1.5 * labels[:, None] ** -0.8 + 0.01 * random.normal(size=(5, 8))
    found = learning_curve(labels, accuracy, 200, SETTINGS)
    (limit, drop, exponent), _ = curve_fit(
        lambda x, a, b, c: a - b * x**-c, labels, accuracy.mean(axis=1), p0=(0.9, 1, 1)
    )
    theirs = limit - drop * found.labels**-exponent
    np.testing.assert_allclose(found.accuracy, theirs, atol=2e-3)
    assert found.labels.tolist() == [10, 20, 40, 80, 160, 200, 300, 400, 800, 1600]
    assert found.num_tried == 5
    assert (found.low <= found.accuracy + 1e-9).all()
    assert (found.accuracy <= found.high + 1e-9).all()
    # Further away the curve is less certain.
    assert found.high[-1] - found.low[-1] > found.high[3] - found.low[3]
    assert found.labels_for(0.86) == pytest.approx((1.5 / 0.04) ** (1 / 0.8), rel=0.3)
    assert found.labels_for(0.999) == float("inf")


def test_curves_that_fall_or_reach_one() -> None:
    labels = np.array([5, 10, 20])
    flat = learning_curve(labels, np.array([[0.6], [0.5], [0.4]]), 30, SETTINGS)
    assert flat.drop == 0
    full = learning_curve(labels, np.ones((3, 4)), 30, SETTINGS)
    np.testing.assert_allclose(full.accuracy, 1)
    steep = learning_curve(labels, np.array([[0.5], [0.9], [0.999]]), 30, SETTINGS)
    assert steep.limit <= 1
    assert (np.diff(steep.accuracy) >= 0).all()


GOOD, KIND = _pilot()
REFUSED = [
    ({"features": {}}, "at least one encoder"),
    ({"features": {"good": GOOD[:50]}}, "features of 50 images, the pilot has 90"),
    ({"labels": np.zeros(90, int)}, "1 class"),
    ({"labels": np.r_[np.zeros(88, int), 1, 1]}, "merge it with another"),
    ({"strategies": {"facility_location": FacilityLocation()}}, "must hold 'random'"),
    ({"features": {"good": np.full_like(GOOD, np.nan)}}, "not finite"),
    ({"features": {"good": GOOD[:6]}, "labels": np.arange(6) % 2}, "too few for a learning"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_refusals(changed: dict[str, object], message: str) -> None:
    arguments = {"features": {"good": GOOD}, "labels": KIND, "settings": SETTINGS, **changed}
    with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
        evaluate_pilot(**arguments)
    with pytest.raises(ValueError, match="at least 3"):
        PilotSettings(budgets=2)
