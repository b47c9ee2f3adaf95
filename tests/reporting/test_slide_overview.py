"""The picture of a whole slide: what lies where, and its colours."""

import dataclasses

import matplotlib
import numpy as np
import pytest

from examine_jax.reporting.charts.heat_colours import HEAT, HeatColours
from examine_jax.reporting.charts.slide_overview import (
    mean_of_tiles,
    round_length,
    slide_chart,
    tiles_cover,
)
from tests.support.pictures import read_png
from tests.support.quick_charts import quick_charts  # noqa: F401
from tests.support.scored_slides import scored_slide


def test_a_heat_map_is_the_mean_of_a_loop() -> None:
    generator = np.random.default_rng(0)
    tiles = np.stack(
        [generator.integers(0, 390, 30), generator.integers(0, 190, 30), np.full(30, 40)], axis=1
    )
    values = generator.random(30)
    values[3] = np.nan
    overview = scored_slide().overview
    there: list[list[list[float]]] = [[[] for _ in range(40)] for _ in range(20)]
    for (x, y, width), value in zip(tiles.tolist(), values):
        left, top = min(round(x / 10), 39), min(round(y / 10), 19)
        for row in range(top, min(max(round((y + width) / 10), top + 1), 20)):
            for column in range(left, min(max(round((x + width) / 10), left + 1), 40)):
                if np.isfinite(value):
                    there[row][column].append(value)
    expected = [[np.mean(one) if one else np.nan for one in row] for row in there]
    np.testing.assert_allclose(mean_of_tiles(overview, tiles, values), expected, rtol=1e-12)
    covered = tiles_cover(overview, tiles[np.isfinite(values)])
    np.testing.assert_array_equal(covered, ~np.isnan(np.array(expected)))


def test_tiles_smaller_than_a_pixel_are_shown() -> None:
    tiles = np.array([[399, 199, 1], [3, 3, 1]])
    covered = tiles_cover(scored_slide().overview, tiles)
    assert np.argwhere(covered).tolist() == [[0, 0], [19, 39]]


@pytest.mark.parametrize(
    ("most", "length"), [(1.0, 1), (1.99, 1), (2.0, 2), (499.9, 200), (5e3, 5000), (0.07, 0.05)]
)
def test_a_scale_bar_has_a_round_length(most: float, length: float) -> None:
    assert round_length(most) == pytest.approx(length)


def test_the_picture_shows_the_slide_and_its_tiles() -> None:
    slide = scored_slide()
    gaps, outliers = HeatColours.of(slide.gap), HeatColours(0.0, 2.0)
    whole = read_png(slide_chart(slide, gaps, outliers))
    plain = dataclasses.replace(slide, findings=((),) * 4, order=np.zeros(4, int))
    other = read_png(slide_chart(plain, gaps, outliers))
    assert whole.shape == other.shape
    assert (whole != other).any()
    two = read_png(slide_chart(dataclasses.replace(slide, outlier=None), gaps, None))
    assert two.shape[0] < whole.shape[0]  # a heat map of gaps alone


def test_awkward_slides_are_drawn() -> None:
    slide = scored_slide("\u202e" + "a" * 300 + "$x_{")
    no_tissue = np.zeros((20, 40), bool)
    for overview in (
        dataclasses.replace(slide.overview, mpp=None, tissue=no_tissue),
        dataclasses.replace(slide.overview, tissue=~no_tissue, size=(400, 20_000)),
    ):
        awkward = dataclasses.replace(
            slide,
            overview=overview,
            gap=np.zeros(4),
            findings=tuple((name,) for name in "abcd"),
        )
        read_png(slide_chart(awkward, HeatColours.of(awkward.gap), HeatColours.of(np.zeros(4))))


def test_colours_are_those_of_matplotlib_by_value() -> None:
    scale = HeatColours.of(np.array([1.0, 3.0]))
    assert scale == HeatColours(1.0, 3.0)
    middle = [round(255 * part) for part in matplotlib.colormaps["cividis"](0.5)[:3]]
    assert np.abs(scale.bytes_of(np.array([2.0]))[0] - np.array(middle)).max() <= 1
    assert scale.bytes_of(np.array([-9.0, 9.0, np.nan])).tolist() == [
        list(HEAT(0.0, bytes=True)[:3]),
        list(HEAT(1.0, bytes=True)[:3]),
        [128] * 3,
    ]
    assert HeatColours.of(np.array([np.nan])) == HeatColours(0.0, 1.0)
    assert HeatColours.of(np.full(3, 2.0)) == HeatColours(2.0, 3.0)
    spanned = HeatColours.of(np.array([1e-9, 1e-5, 1.0]))
    assert (spanned.least, spanned.logarithmic) == (pytest.approx(1e-6), True)
    assert spanned.bytes_of(np.array([0.0]))[0].tolist() == list(HEAT(0.0, bytes=True)[:3])
