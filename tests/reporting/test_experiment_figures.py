"""The experiments' figures come out for whatever a run may hold, and their tables say what was measured."""

import io

import numpy as np
import pytest
from PIL import Image

from examine_jax.evaluation.curves import CHOOSINGS, Curve
from examine_jax.evaluation.mislabelled import detection
from examine_jax.reporting.charts.agreement import agreement_map
from examine_jax.reporting.charts.noise_levels import noise_level_panels
from examine_jax.reporting.charts.running_times import in_words, running_time_chart
from examine_jax.reporting.charts.selection import detection_chart, detection_rows, selection_chart, selection_rows
from tests.support.names import HOSTILE_NAMES

GENERATOR = np.random.default_rng(0)


def opened(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    assert image.width >= 1000
    assert np.asarray(image.convert("L")).std() > 2, "the picture is blank"
    return np.asarray(image.convert("RGB"))


def curves(names: tuple[str, ...], seeds: int, heights: dict[str, float] | None = None):
    counts = np.array([0, 10, 20, 25])
    return {
        choosing: {
            name: [
                Curve(counts, np.full(4, (heights or {}).get(name, 0.5)) + 0.001 * seed * (name != "random"))
                for seed in range(seeds)
            ]
            for name in ("random", *names)
        }
        for choosing in CHOOSINGS
    }


@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("names", [(), ("examine",), ("a", "b", "c", "d", "e", "f", "g"), tuple(HOSTILE_NAMES[:5])])
def test_curves_are_drawn(names: tuple[str, ...], seeds: int) -> None:
    opened(selection_chart(curves(names, seeds), names))


def test_the_table_counts_the_seeds_on_the_right_side_of_random() -> None:
    header, rows = selection_rows(curves(("good", "bad"), 3, {"good": 0.6, "bad": 0.4}))
    assert len(header) == len(rows[0]) == 5
    assert [row[0] for row in rows] == ["random", "good", "bad"]
    assert rows[0][1] == "0.5000 ± 0.0000"
    assert rows[1] == ("good", *(f"0.6010 ± 0.0010 ({n} of 3)" for n in (3, 0, 0, 3)))
    assert rows[2] == ("bad", *(f"0.4010 ± 0.0010 ({n} of 3)" for n in (0, 3, 3, 0)))


def test_a_valuer_without_curves_is_refused() -> None:
    with pytest.raises(ValueError, match="no curves of 'loo'"):
        selection_chart(curves(("examine",), 1), ("loo",))


def test_detections_are_drawn_and_tabled() -> None:
    wrong = np.arange(50) < 10
    found = {
        name: [detection(GENERATOR.normal(size=50) - shift * wrong, wrong, seed=0)]
        for name, shift in (("a", 9), ("b", -9))
    }
    opened(detection_chart(found))
    opened(detection_chart({**found, "random": found["a"] * 3}))
    assert detection_rows(found)[1] == (("a", "1.0000", "1 of 1"), ("b", "0.0000", "0 of 1"))
    with pytest.raises(ValueError, match="no valuer"):
        detection_chart({})


@pytest.mark.parametrize("count", [1, 3, 12])
def test_agreement_is_drawn_also_where_it_is_undefined(count: int) -> None:
    correlation = np.clip(GENERATOR.normal(size=(count, count)), -1, 1)
    correlation[0, -1] = np.nan
    opened(agreement_map([*HOSTILE_NAMES, *"abcdefghijkl"][:count], correlation))
    with pytest.raises(ValueError, match="names"):
        agreement_map(["a"], np.zeros((2, 2)))


def test_running_times_are_drawn_from_microseconds_to_hours() -> None:
    opened(running_time_chart({"examine": [0.02, 0.01, 1.0], "loo": [3.0], "tmc_shapley": [27_600.0]}))
    opened(running_time_chart({"one": [1.0]}))
    assert [in_words(seconds) for seconds in (0.0123, 23.0, 600.0, 27_600.0)] == [
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
    gaps = {f"encoder {number}": GENERATOR.gamma(2.0, 0.1, 60) * (1 + level) for number in range(count)}
    gaps["encoder 0"] *= 0
    opened(noise_level_panels(gaps, {name: level for name in gaps}, score=score))


def test_noise_levels_without_an_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="one encoder"):
        noise_level_panels({}, {})
