"""Charts of a run are drawn for ordinary and extreme input."""

import subprocess
import sys

import numpy as np
import pytest

from examine_jax.evaluation.coverage import coverage_curve
from examine_jax.evaluation.noise_separation import noise_separation
from examine_jax.reporting.charts import (
    galleries,
    principal_components,
    scores,
    separations,
    singular_values,
    training_curves,
)
from examine_jax.reporting.charts.coverage import coverage_chart
from examine_jax.reporting.tables import rank_by_gap
from tests.support.names import HOSTILE_NAMES
from tests.support.pictures import read_png

_GENERATOR = np.random.default_rng(0)
_GAPS = {
    "ordinary": _GENERATOR.gamma(2.0, 0.1, 200),
    "heavy tail": np.exp(3 * _GENERATOR.standard_normal(200)),
    "zeros and one large": np.r_[np.zeros(50), 5.0],
    "all zero": np.zeros(20),
    "all equal": np.full(20, 0.3),
    "saturated at 1": _GENERATOR.gamma(2.0, 1e-10, 200),
    "saturated at 0": 1000 + _GENERATOR.gamma(2.0, 1.0, 200),
    "rounded below zero": np.array([-1e-7, 0.0, 0.1, 2.0]),
    "one image": np.array([0.4]),
    "two images": np.array([0.4, 0.1]),
}


@pytest.mark.parametrize("case", _GAPS)
def test_distribution_is_drawn(case):
    gap = _GAPS[case]
    read_png(scores.score_distribution(np.exp(-gap), gap))


@pytest.mark.parametrize("case", _GAPS)
def test_distribution_by_level_is_drawn(case):
    gap = _GAPS[case].astype(np.float32)
    level = np.resize(np.array([0, 0.1, 0.3, 0.5, 1.0], np.float32), len(gap))
    read_png(scores.score_distribution(np.exp(-gap), gap, level))


@pytest.mark.parametrize(
    "loss",
    [
        np.exp(-np.arange(500) / 100),
        np.array([0.5]),
        np.array([]),
        np.array([np.nan, 1.0, np.inf, 0.0, 0.5]),
        np.full(30, 0.2),
    ],
    ids=["long", "one step", "none", "not finite", "constant"],
)
def test_loss_is_drawn(loss):
    read_png(training_curves.loss_curve(np.arange(len(loss)), loss))


def test_running_median_agrees_with_scipy_inside():
    from scipy.ndimage import median_filter

    loss = np.random.default_rng(0).random(101)
    np.testing.assert_array_equal(
        training_curves._running_median(loss, 7), median_filter(loss, 7, mode="mirror")
    )


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((200, 16), 1.0),
        ((5, 64), 1.0),
        ((30, 1), 1.0),
        ((1, 4), 1.0),
        ((2, 3), 1.0),
        ((30, 8), 0.0),
    ],
)
def test_map_and_spectrum_are_drawn(shape, scale):
    features = (scale * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    gap = np.abs(features).sum(axis=1)
    read_png(principal_components.principal_component_map(features, gap))
    read_png(singular_values.singular_value_chart(features))


def test_map_of_many_images_draws_a_sample():
    features = np.random.default_rng(0).standard_normal((30_000, 4)).astype(np.float32)
    read_png(principal_components.principal_component_map(features, np.abs(features[:, 0])))


@pytest.mark.parametrize(("count", "channels"), [(1, 3), (2, 1), (3, 2), (30, 4)])
def test_gallery_is_drawn(count, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 24, 16, channels), dtype=np.uint8)
    gap = np.linspace(0, 1, count)
    names = [f"patient/{index}.png" for index in range(count)]
    read_png(galleries.gallery(pixels, names, np.exp(-gap), gap, rank_by_gap(gap)))


def test_gallery_draws_hostile_names():
    count = len(HOSTILE_NAMES)
    pixels = np.zeros((count, 8, 8, 3), np.uint8)
    gap = np.linspace(0, 1, count)
    names = [*HOSTILE_NAMES[:-1], "lone \udcff surrogate"]
    read_png(galleries.gallery(pixels, names, np.exp(-gap), gap, rank_by_gap(gap)))


def test_gallery_shows_smallest_gaps_first_and_largest_gaps_below():
    # Each image has its own colour, so the order can be read from the figure.
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8)
    pixels = np.broadcast_to(colours[:, None, None, :], (4, 10, 10, 3)).copy()
    gap = np.array([0.3, 0.1, 0.4, 0.2])
    picture = read_png(galleries.gallery(pixels, list("abcd"), np.exp(-gap), gap, rank_by_gap(gap)))
    corner = {}
    for number, colour in enumerate(colours):
        rows, columns = np.nonzero((picture == colour).all(axis=-1))
        corner[number] = (int(np.median(rows)), int(np.median(columns)))
    reading_order = sorted(corner, key=lambda number: (corner[number][0] // 50, corner[number][1]))
    assert reading_order == [1, 3, 2, 0]


def test_gallery_without_a_name_for_every_image_is_refused():
    with pytest.raises(ValueError, match="1 names for 2 images"):
        galleries.gallery(
            np.zeros((2, 4, 4, 3), np.uint8), ["a"], np.zeros(2), np.zeros(2), np.array([1, 2])
        )


@pytest.mark.parametrize(("count", "channels"), [(1, 3), (4, 1), (8, 3)])
def test_reconstructions_are_drawn(count, channels):
    original = np.random.default_rng(0).random((count, 16, 16, channels)).astype(np.float32)
    rows = {"original": (original * 255).astype(np.uint8), "masked": original}
    read_png(galleries.image_rows({**rows, "reconstruction": original * 1.5 - 0.2}))


def test_original_images_are_above_their_reconstructions():
    original = np.zeros((2, 8, 8, 3), np.uint8)
    original[..., 0] = 255
    made = np.zeros((2, 8, 8, 3), np.float32)
    made[..., 2] = 1
    first, second = np.zeros((2, 2, 4, 4, 3), np.float32)
    first[..., 1], second[..., 2] = 1, 1
    for rows_of_images, colours in (
        ({"original": original, "reconstruction": made}, ([255, 0, 0], [0, 0, 255])),
        (
            {"original": original, "first view": first, "second view": second},
            ([255, 0, 0], [0, 255, 0], [0, 0, 255]),
        ),
    ):
        shown = read_png(galleries.image_rows(rows_of_images), width=500)
        rows = [np.median(np.nonzero((shown == colour).all(axis=-1))[0]) for colour in colours]
        assert rows == sorted(set(rows)), "the rows are not in this order"


def test_galleries_without_images_are_refused():
    nothing = np.zeros((0, 4, 4, 3))
    with pytest.raises(ValueError, match="no image to show; give at least one"):
        galleries.image_rows({"original": nothing, "reconstruction": nothing})


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.15], [0.3], [0.0, 0.0], [1.0, np.nan, 2.0]])
def test_monitored_measures_are_drawn(values):
    read_png(
        training_curves.monitored_curve(
            100 * np.arange(1, len(values) + 1), np.array(values), "rank me"
        )
    )


def _separations(strength, seeds=3, clean=True):
    level = np.repeat([0.0 if clean else 0.2, 0.1, 1.0], 20)
    generator = np.random.default_rng(0)
    return [
        noise_separation(strength * level + generator.standard_normal(60), level)
        for _ in range(seeds)
    ]


def test_separations_are_drawn_and_tabled():
    results = {
        "trained <encoder>": _separations(5),
        "raw\npixels 日本": _separations(-1),
        "channel means": _separations(0, seeds=1),
    }
    read_png(separations.separation_chart(results))
    header, rows = separations.separation_rows(results)
    assert header == ("features", "seeds", "rank correlation", "AUROC at δ = 0.1", "AUROC at δ = 1")
    assert [row[0] for row in rows] == list(results)
    assert [row[1] for row in rows] == ["3", "3", "1"]
    assert float(rows[0][4]) > 0.95


def test_separations_without_clean_images_are_drawn():
    read_png(separations.separation_chart({"x": _separations(1, clean=False)}))


def test_incomparable_separations_are_refused():
    with pytest.raises(ValueError, match="at least one kind"):
        separations.separation_chart({})
    with pytest.raises(ValueError, match="different noise levels"):
        separations.separation_rows({"a": _separations(1), "b": _separations(1, clean=False)})


def test_matplotlib_settings_do_not_change():
    import matplotlib

    before = dict(matplotlib.rcParams)
    training_curves.loss_curve(np.arange(3), np.ones(3))
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_loaded():
    program = (
        "import sys, numpy as np\nfrom examine_jax.reporting.charts import principal_components\n"
        "principal_components.principal_component_map(np.eye(4, dtype='float32'), np.ones(4))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_tables_need_numpy_alone():
    program = (
        "import sys\nimport examine_jax.reporting.tables\n"
        "assert not {'matplotlib', 'jinja2', 'PIL', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("count", [1, 40])
def test_the_coverage_curve_is_drawn(count):
    features = np.random.default_rng(0).normal(size=(90, 4))
    picture = coverage_chart(coverage_curve(features, np.arange(count), "none"), "$k$-means")
    read_png(picture)


@pytest.mark.parametrize("shape", [(300, 12), (9, 40), (12, 12), (1, 4), (30, 1)])
def test_principal_components_are_scikit_learns(shape):
    from sklearn.decomposition import PCA

    features = np.random.default_rng(1).standard_normal(shape) * np.arange(1, shape[1] + 1) + 5
    count = min(2, *shape)
    points, explained = principal_components.first_two_components(features)
    if shape[0] > 1:
        reference = PCA(count, svd_solver="full").fit(features)
        expected = reference.transform(features)
        signs = np.sign((expected * points[:, :count]).sum(axis=0))
        np.testing.assert_allclose(points[:, :count] * signs, expected, atol=1e-9)
        np.testing.assert_allclose(explained[:count], reference.explained_variance_ratio_)
    np.testing.assert_array_equal(points[:, count:], 0)
    alike, of_none = principal_components.first_two_components(np.ones(shape, np.float32))
    assert not alike.any()
    assert not of_none.any()


def test_rounding_turns_no_principal_component():
    # Two images have opposite components, and two standardised columns have axes of equal entries.
    random = np.random.default_rng(0)
    for _ in range(40):
        pair, _ = principal_components.first_two_components(random.normal(size=(2, 40)))
        assert pair[0, 0] > 0 > pair[1, 0]
        columns = random.normal(size=(50, 1)) + random.normal(size=(50, 2))
        columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
        points, _ = principal_components.first_two_components(columns)
        expected = columns @ np.array([[1, 1], [1, -1]]) / 2**0.5
        np.testing.assert_allclose(points, expected, atol=1e-9)
