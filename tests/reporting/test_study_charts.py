"""Charts of the studies are drawn, and their tables hold the right numbers."""

import numpy as np
import pytest

from examine_jax.evaluation.curves import CURVE_KINDS, Curve
from examine_jax.evaluation.label_errors import label_error_curve
from examine_jax.reporting.charts.label_errors import label_error_chart, label_error_rows
from examine_jax.reporting.charts.noise_levels import noise_level_panels
from examine_jax.reporting.charts.rank_correlations import rank_correlation_map
from examine_jax.reporting.charts.running_times import duration_text, running_time_chart
from examine_jax.reporting.charts.valuation_curves import (
    valuation_curve_chart,
    valuation_curve_rows,
)
from tests.support.names import HOSTILE_NAMES
from tests.support.pictures import read_png

GENERATOR = np.random.default_rng(0)


def curves(names: tuple[str, ...], seeds: int, heights: dict[str, float] | None = None):
    counts = np.array([0, 10, 20, 25])
    return {
        choosing: {
            name: [
                Curve(
                    counts,
                    np.full(4, (heights or {}).get(name, 0.5)) + 0.001 * seed * (name != "random"),
                )
                for seed in range(seeds)
            ]
            for name in ("random", *names)
        }
        for choosing in CURVE_KINDS
    }


@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize(
    "names", [(), ("examine",), ("a", "b", "c", "d", "e", "f", "g"), tuple(HOSTILE_NAMES[:5])]
)
def test_curves_are_drawn(names: tuple[str, ...], seeds: int) -> None:
    read_png(valuation_curve_chart(curves(names, seeds), names))


def test_the_table_counts_the_seeds_on_the_good_side_of_random() -> None:
    header, rows = valuation_curve_rows(curves(("good", "bad"), 3, {"good": 0.6, "bad": 0.4}))
    assert len(header) == len(rows[0]) == 5
    assert [row[0] for row in rows] == ["random", "good", "bad"]
    assert rows[0][1] == "0.5000 ± 0.0000"
    assert rows[1] == ("good", *(f"0.6010 ± 0.0010 ({n} of 3)" for n in (3, 0, 0, 3)))
    assert rows[2] == ("bad", *(f"0.4010 ± 0.0010 ({n} of 3)" for n in (0, 3, 3, 0)))


def test_a_valuer_without_curves_is_refused() -> None:
    with pytest.raises(ValueError, match="no curves of 'loo'"):
        valuation_curve_chart(curves(("examine",), 1), ("loo",))


def test_label_error_curves_are_drawn_and_tabled() -> None:
    wrong = np.arange(50) < 10
    found = {
        name: [label_error_curve(GENERATOR.normal(size=50) - shift * wrong, wrong, seed=0)]
        for name, shift in (("a", 9), ("b", -9))
    }
    read_png(label_error_chart(found))
    read_png(label_error_chart({**found, "random": found["a"] * 3}))
    assert label_error_rows(found)[1] == (("a", "1.0000", "1 of 1"), ("b", "0.0000", "0 of 1"))
    with pytest.raises(ValueError, match="no valuer"):
        label_error_chart({})


@pytest.mark.parametrize("count", [1, 3, 12])
def test_rank_correlations_are_drawn_even_if_undefined(count: int) -> None:
    correlation = np.clip(GENERATOR.normal(size=(count, count)), -1, 1)
    correlation[0, -1] = np.nan
    read_png(rank_correlation_map([*HOSTILE_NAMES, *"abcdefghijkl"][:count], correlation))
    with pytest.raises(ValueError, match="names"):
        rank_correlation_map(["a"], np.zeros((2, 2)))


def test_running_times_are_drawn_from_microseconds_to_hours() -> None:
    read_png(
        running_time_chart({"examine": [0.02, 0.01, 1.0], "loo": [3.0], "tmc_shapley": [27_600.0]})
    )
    read_png(running_time_chart({"one": [1.0]}))
    assert [duration_text(seconds) for seconds in (0.0123, 23.0, 600.0, 27_600.0)] == [
        "0.0123 s",
        "23 s",
        "10 min",
        "7.67 h",
    ]
    for bad in ({}, {"a": []}, {"a": [0.0]}):
        with pytest.raises(ValueError, match="time"):
            running_time_chart(bad)


@pytest.mark.parametrize("count", [1, 2, 4, 6])
@pytest.mark.parametrize("score", [False, True])
def test_noise_levels_are_drawn_for_each_encoder(count: int, score: bool) -> None:
    level = np.resize([0.0, 0.1, 0.3, 0.5, 1.0], 60)
    gaps = {
        f"encoder {number}": GENERATOR.gamma(2.0, 0.1, 60) * (1 + level) for number in range(count)
    }
    gaps["encoder 0"] *= 0
    read_png(noise_level_panels(gaps, {name: level for name in gaps}, score=score))


def test_noise_levels_without_an_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="one encoder"):
        noise_level_panels({}, {})
