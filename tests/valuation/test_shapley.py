"""Sampled semivalues: axioms by exact enumeration, rules of truncation, resuming, merging."""

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examine_jax.valuation import (
    Banzhaf,
    BetaShapley,
    DataShapleyStopping,
    DataShapleyTruncation,
    FunctionGame,
    HistoryDeviation,
    LeaveOneOut,
    RelativeTruncation,
    TMCShapley,
    Utility,
    merge_states,
)
from examine_jax.valuation.valuers.beta_shapley import beta_weights
from tests.support.labelled_rows import labelled_rows

KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A game by the worth of every set, at the set's bits."""

    worth: np.ndarray

    def game(self, features: Any, labels: Any) -> FunctionGame:
        return FunctionGame(
            len(features), lambda members: float(self.worth[int(np.sum(2**members))])
        )


def exact(worth: np.ndarray, players: int, weigh: Callable[[int], float]) -> np.ndarray:
    """By enumeration; `weigh(size)` is the weight of a marginal to a set of that size."""
    values = np.zeros(players)
    for player in range(players):
        others = [other for other in range(players) if other != player]
        for size in range(players):
            for members in itertools.combinations(others, size):
                at = sum(2**member for member in members)
                values[player] += weigh(size) * (worth[at + 2**player] - worth[at])
    return values


def shapley(worth: np.ndarray, players: int) -> np.ndarray:
    return exact(worth, players, lambda size: 1 / (players * math.comb(players - 1, size)))


def rows(players: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(2.0 * players).reshape(players, 2), np.arange(players) % 2


def sampled(worth: np.ndarray, players: int, permutations: int = 400) -> Any:
    valuer = TMCShapley(
        Table(worth), permutations=permutations, truncation=None, stopping=None, at_once=50
    )
    return valuer.value(*rows(players), KEY)


worths = st.lists(st.integers(-4, 4), min_size=16, max_size=16).map(
    lambda drawn: np.array(drawn, np.float64)
)


@settings(max_examples=15, deadline=None)
@given(worths)
def test_efficiency_values_add_up_to_what_all_are_worth(worth: np.ndarray) -> None:
    assert sampled(worth, 4, 20).values.sum() == pytest.approx(worth[-1] - worth[0])


@settings(max_examples=15, deadline=None)
@given(worths)
def test_a_null_player_is_worth_nothing(worth: np.ndarray) -> None:
    worth = np.concatenate([worth[:8], worth[:8]])  # player 3 changes no set
    assert sampled(worth, 4, 20).values[3] == 0


@settings(max_examples=10, deadline=None)
@given(worths)
def test_players_that_can_stand_for_each_other_are_worth_the_same(worth: np.ndarray) -> None:
    swap = [(s & ~3) | ((s & 1) << 1) | ((s & 2) >> 1) for s in range(16)]
    worth = (worth + worth[swap]) / 2
    found = sampled(worth, 4)
    assert abs(found.values[0] - found.values[1]) <= 6 * found.standard_error[:2].sum() + 1e-12
    np.testing.assert_allclose(*shapley(worth, 4)[:2])


def test_the_sampled_mean_is_within_its_error_of_the_exact_value() -> None:
    worth = np.random.default_rng(0).normal(size=32)
    found = sampled(worth, 5, 2000)
    assert (np.abs(found.values - shapley(worth, 5)) < 5 * found.standard_error).all()
    assert found.diagnostics["fits"] == 2000 * 5


def test_beta_shapley_is_its_weighted_enumeration_and_shapley_at_one_one() -> None:
    np.testing.assert_allclose(beta_weights(7, 1.0, 1.0), np.ones(7))
    assert beta_weights(9, 16.0, 1.0).mean() == pytest.approx(1)
    assert (np.diff(beta_weights(9, 16.0, 1.0)) < 0).all()
    worth = np.random.default_rng(1).normal(size=16)
    weights = beta_weights(4, 4.0, 1.0)
    valuer = BetaShapley(
        Table(worth), alpha=4.0, beta=1.0, permutations=3000, stopping=None, at_once=100
    )
    found = valuer.value(*rows(4), KEY)
    expected = exact(worth, 4, lambda size: weights[size] / (4 * math.comb(3, size)))
    assert (np.abs(found.values - expected) < 5 * found.standard_error).all()


def test_banzhaf_is_its_enumeration() -> None:
    worth = np.random.default_rng(2).normal(size=16)
    found = Banzhaf(Table(worth), sets=3000, at_once=3000).value(*rows(4), KEY)
    assert (
        np.abs(found.values - exact(worth, 4, lambda _: 1 / 8)) < 5 * found.standard_error
    ).all()


def test_leave_one_out_is_the_last_marginal() -> None:
    worth = np.random.default_rng(3).normal(size=16)
    found = LeaveOneOut(Table(worth)).value(*rows(4))
    np.testing.assert_allclose(
        found.values, [worth[15] - worth[15 - 2**player] for player in range(4)]
    )


def test_datashapley_cuts_at_the_sixth_hit_in_a_row() -> None:
    rule = DataShapleyTruncation()
    near = np.array([0.5, 0.999, 1, 1, 0.5, 1, 1, 1, 1, 1.005, 1, 1])
    assert rule.cut(near, 1.0, 20) == 11
    assert rule.cut(near[:10], 1.0, 20) is None
    assert rule.cut(-near, -1.0, 20) == 11  # a worth may be negative: minus a log-loss


def test_pydvl_cuts_at_the_first_hit_after_the_burn_in() -> None:
    near = np.array([1.0, 0.5, 1.0, 1.0])
    assert RelativeTruncation().cut(near, 1.0, 4) == 1
    assert RelativeTruncation(burn_in=0.5).cut(near, 1.0, 4) == 3
    assert (
        RelativeTruncation(burn_in=0.75).cut(near, 1.0, 4) == 3
    )  # as many as the burn-in are enough


def test_rows_after_the_cut_get_nothing_and_cost_no_fit() -> None:
    worth = np.array([min(bin(s).count("1"), 2) / 2 for s in range(64)])
    valuer = TMCShapley(
        Table(worth),
        permutations=30,
        truncation=DataShapleyTruncation(hits=2, resamples=0),
        stopping=None,
    )
    found = valuer.value(*rows(6), KEY)
    assert found.diagnostics["fits"] == 30 * 3
    assert found.values.sum() == pytest.approx(1)


def test_sampling_stops_when_the_means_stand_still() -> None:
    worth = np.array([float(bin(s).count("1")) for s in range(16)])
    for rule in (DataShapleyStopping(), HistoryDeviation(steps=60)):
        valuer = TMCShapley(
            Table(worth), permutations=1000, truncation=None, stopping=rule, at_once=10
        )
        assert valuer.value(*rows(4), KEY).diagnostics["permutations"] in (70, 100)


class Killed(Exception):
    pass


def _kill_after(groups: int) -> Callable[[int, int], None]:
    calls = itertools.count(1)

    def kill(_: int, __: int) -> None:
        if next(calls) == groups:
            raise Killed

    return kill


@pytest.fixture(scope="module")
def utility_and_rows() -> tuple[Utility, np.ndarray, np.ndarray]:
    features, labels = labelled_rows(90, 40, 2, np.float32)
    return Utility(features[24:], labels[24:]), features[:24], labels[:24]


def test_killed_in_the_middle_and_resumed_gives_the_same_values(
    utility_and_rows: tuple[Utility, np.ndarray, np.ndarray], tmp_path: pathlib.Path
) -> None:
    utility, features, labels = utility_and_rows
    valuer = TMCShapley(
        utility, permutations=6, truncation=DataShapleyTruncation(0.05), stopping=None, at_once=2
    )
    at_once = valuer.value(features, labels, KEY)
    state = tmp_path / "tmc.npz"
    with pytest.raises(Killed):
        valuer.value(features, labels, KEY, on_progress=_kill_after(2), state=state)
    calls: list[int] = []
    resumed = valuer.value(
        features, labels, KEY, on_progress=lambda done, _: calls.append(done), state=state
    )
    np.testing.assert_array_equal(resumed.values, at_once.values)
    np.testing.assert_array_equal(resumed.standard_error, at_once.standard_error)
    assert resumed.diagnostics == at_once.diagnostics
    assert calls == [2, 4, 6]
    assert [path.name for path in tmp_path.iterdir()] == ["tmc.npz"]


def test_runs_over_parts_of_the_permutations_merge(
    utility_and_rows: tuple[Utility, np.ndarray, np.ndarray], tmp_path: pathlib.Path
) -> None:
    utility, features, labels = utility_and_rows
    whole = TMCShapley(utility, permutations=4, truncation=None, stopping=None, at_once=2)
    expected = whole.value(features, labels, KEY, state=tmp_path / "whole.npz")
    for part in (0, 2):
        valuer = dataclasses.replace(whole, permutations=2, first=part)
        valuer.value(features, labels, KEY, state=tmp_path / f"{part}.npz")
    merge_states([tmp_path / "2.npz", tmp_path / "0.npz"], tmp_path / "merged.npz")
    calls: list[int] = []
    merged = whole.value(
        features,
        labels,
        KEY,
        on_progress=lambda done, _: calls.append(done),
        state=tmp_path / "merged.npz",
    )
    np.testing.assert_array_equal(merged.values, expected.values)
    assert calls == [2, 4]
    other = dataclasses.replace(utility, metric="balanced_accuracy")
    dataclasses.replace(whole, utility=other).value(
        features, labels, KEY, state=tmp_path / "other.npz"
    )
    with pytest.raises(ValueError, match="different runs"):
        merge_states([tmp_path / "0.npz", tmp_path / "other.npz"], tmp_path / "merged.npz")


def test_banzhaf_resumes_and_merges(tmp_path: pathlib.Path) -> None:
    worth = np.random.default_rng(2).normal(size=16)
    valuer = Banzhaf(Table(worth), sets=40, at_once=10)
    expected = valuer.value(*rows(4), KEY).values
    with pytest.raises(Killed):
        valuer.value(*rows(4), KEY, on_progress=_kill_after(2), state=tmp_path / "b.npz")
    np.testing.assert_array_equal(
        valuer.value(*rows(4), KEY, state=tmp_path / "b.npz").values, expected
    )
    for first in (0, 20):
        dataclasses.replace(valuer, sets=20, first=first).value(
            *rows(4), KEY, state=tmp_path / f"{first}.npz"
        )
    merge_states([tmp_path / "0.npz", tmp_path / "20.npz"], tmp_path / "all.npz")
    np.testing.assert_array_equal(
        valuer.value(*rows(4), KEY, state=tmp_path / "all.npz").values, expected
    )


def test_a_state_of_other_data_or_another_key_is_refused_and_kept(tmp_path: pathlib.Path) -> None:
    worth = np.arange(16.0)
    valuer = TMCShapley(Table(worth), permutations=4, truncation=None, stopping=None)
    features, labels = rows(4)
    valuer.value(features, labels, KEY, state=tmp_path / "s.npz")
    kept = (tmp_path / "s.npz").read_bytes()
    with pytest.raises(ValueError, match="another run"):
        valuer.value(features + 1, labels, KEY, state=tmp_path / "s.npz")
    with pytest.raises(ValueError, match="another run"):
        valuer.value(features, labels, jax.random.key(1), state=tmp_path / "s.npz")
    with pytest.raises(ValueError, match="another run"):
        dataclasses.replace(valuer, utility=Table(worth + 1)).value(
            features, labels, KEY, state=tmp_path / "s.npz"
        )
    assert (tmp_path / "s.npz").read_bytes() == kept
    (tmp_path / "s.npz").write_bytes(kept[:100])
    with pytest.raises(ValueError, match="holds no sampling state"):
        valuer.value(features, labels, KEY, state=tmp_path / "s.npz")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((np.ones((3, 2)), None, KEY), "needs labels"),
        ((np.ones((3, 2)), np.array([0, 1, 0]), None), "give key="),
        ((np.ones((1, 2)), np.array([0]), KEY), "at least 2"),
        ((np.array([[1.0], [np.inf]]), np.array([0, 1]), KEY), r"rows \[1\]"),
    ],
)
def test_rows_that_cannot_be_valued_are_refused(arguments: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TMCShapley(Table(np.zeros(8))).value(*arguments)
