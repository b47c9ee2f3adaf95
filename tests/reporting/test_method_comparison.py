"""Dots by method come out for any names and however many seeds are done."""

import pytest

from examine_jax.reporting.charts.method_comparison import method_dot_plot
from tests.support.names import HOSTILE_NAMES
from tests.support.pictures import read_png


@pytest.mark.parametrize("seeds", [1, 3])
def test_panels_of_any_name_and_of_equal_figures_are_drawn(seeds: int) -> None:
    methods = {
        "random initialisation": [0.5] * seeds,
        **{name: [0.5] * seeds for name in HOSTILE_NAMES[:6]},
    }
    panels = {name: methods for name in HOSTILE_NAMES[-6:-1]}
    read_png(method_dot_plot(panels, "random initialisation", "BMA"))


def test_a_better_method_stands_further_right() -> None:
    """The blue dots of the one method, the only coloured ones, move."""

    def place(value: float) -> float:
        picture = read_png(
            method_dot_plot(
                {place: {"random": [0.1, 0.9], "ours": [value]} for place in ("here", "there")},
                "random",
                "AUC",
            )
        ).astype(int)
        return float((picture[:, :, 2] - picture[:, :, 0] > 60).nonzero()[1].mean())

    assert place(0.3) + 100 < place(0.7)


@pytest.mark.parametrize(
    ("panels", "reason"),
    [
        ({}, "nothing to draw"),
        ({"a": {"byol": [0.5]}}, "same methods, random among them"),
        ({"a": {"random": [0.5]}, "b": {"random": [0.5], "byol": [0.5]}}, "same methods"),
    ],
)
def test_panels_that_cannot_stand_beside_each_other_are_refused(panels, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        method_dot_plot(panels, "random", "AUC")
