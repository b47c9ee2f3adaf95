"""Semivalues equal pyDVL's in one game, which scikit-learn tabulates (golden/make_pydvl.py)."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from examine_jax.valuation import (
    Banzhaf,
    BetaShapley,
    FunctionGame,
    HistoryDeviation,
    KNNShapley,
    LeaveOneOut,
    RelativeTruncation,
    TMCShapley,
    Utility,
)
from examine_jax.valuation.valuers.beta_shapley import beta_weights
from examine_jax.valuation.valuers.permutation_sampling import contributions

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "pydvl.npz"
METRICS = ("accuracy", "log_loss")
TRUNCATIONS = {
    "whole": None,
    "truncated": RelativeTruncation(rtol=0.05),
    "truncated_after_burn_in": RelativeTruncation(rtol=0.05, burn_in=0.5),
}


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDEN, allow_pickle=False) as stored:
        return dict(stored)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A game by the worth of every set, at the set's bits."""

    worth: np.ndarray

    def game(self, features: Any, labels: Any) -> FunctionGame:
        return FunctionGame(
            len(features), lambda members: float(self.worth[int(np.sum(2**members))])
        )


def by_orders(
    golden: dict[str, Any], metric: str, weights: np.ndarray, truncation: Any
) -> np.ndarray:
    """What each of pyDVL's orders gives each row, by our evaluation of it."""
    game = Table(golden[metric]).game(golden["features"], golden["labels"])
    return contributions(game, golden["orders"], weights, truncation, game.full())[0]


@pytest.mark.parametrize("metric", METRICS)
def test_our_utility_is_scikit_learns_on_every_set(golden: dict[str, Any], metric: Any) -> None:
    utility = Utility(golden["validation"], golden["validation_labels"], metric=metric)
    members = (np.arange(1, 1024)[:, None] >> np.arange(10) & 1).astype(bool)
    worth = utility.game(golden["features"], golden["labels"]).subsets(members)
    np.testing.assert_allclose(worth, golden[metric][1:], atol=1e-7, rtol=0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", TRUNCATIONS)
def test_the_same_orders_give_the_same_marginals_cut_at_the_same_rows(
    golden: dict[str, Any], metric: str, name: str
) -> None:
    found = by_orders(golden, metric, np.ones(10), TRUNCATIONS[name])
    np.testing.assert_allclose(found, golden[f"{metric}.{name}"], atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_orders_give_the_same_beta_shapley(golden: dict[str, Any], metric: str) -> None:
    found = by_orders(golden, metric, beta_weights(10, 4.0, 1.0), None)
    np.testing.assert_allclose(found, golden[f"{metric}.beta"], atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("valuer", "exact", "sampled"),
    [
        (lambda game: TMCShapley(game, 1000, None, None, at_once=50), "exact_shapley", "tmc"),
        (
            lambda game: BetaShapley(game, 4.0, 1.0, 1000, stopping=None, at_once=50),
            "exact_beta",
            None,
        ),
        (lambda game: Banzhaf(game, sets=3000, at_once=3000), "exact_banzhaf", "msr"),
    ],
    ids=["shapley", "beta_shapley", "banzhaf"],
)
def test_both_samplers_lie_within_their_errors_of_the_enumerated_value(
    golden: dict[str, Any], metric: str, valuer: Any, exact: str, sampled: str | None
) -> None:
    ours = valuer(Table(golden[metric])).value(
        golden["features"], golden["labels"], jax.random.key(0)
    )
    expected = golden[f"{metric}.{exact}.values"]
    # Ten rows at a time: four standard errors.
    assert (np.abs(ours.values - expected) <= 4 * ours.standard_error).all()
    if sampled is not None:
        theirs, error = (
            golden[f"{metric}.{sampled}.values"],
            golden[f"{metric}.{sampled}.standard_error"],
        )
        assert (np.abs(theirs - expected) <= 4 * error).all()
        assert (np.abs(ours.values - theirs) <= 4 * np.hypot(error, ours.standard_error)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_leave_one_out_is_pydvls(golden: dict[str, Any], metric: str) -> None:
    found = LeaveOneOut(Table(golden[metric])).value(golden["features"], golden["labels"])
    np.testing.assert_allclose(found.values, golden[f"{metric}.loo.values"], atol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_knn_shapley_is_pydvls(golden: dict[str, Any], k: int) -> None:
    found = KNNShapley(golden["validation"], golden["validation_labels"], k).value(
        golden["features"], golden["labels"]
    )
    np.testing.assert_allclose(found.values, golden[f"knn.{k}"], atol=1e-12)


@pytest.mark.parametrize("steps", [20, 100])
def test_history_deviation_stops_at_pydvls_order_where_all_means_are_positive(
    golden: dict[str, Any], steps: int
) -> None:
    rtol, count = golden[f"stopped.{steps}"]
    contributions = np.abs(golden["accuracy.whole"]) + 0.01
    rule = HistoryDeviation(steps, float(rtol))
    enough = [rule.enough(contributions[:size]) for size in range(1, int(count) + 1)]
    assert enough.index(True) == count - 1
