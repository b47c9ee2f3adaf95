"""The coverage curve against plain distances."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from examine_jax.evaluation.coverage import coverage_curve


def _plain_share(features, order, covered, radius, labelled=()):
    """The share of `covered` within the radius of the first k of `order`, for each k."""
    near = cdist(features[covered], features[[*labelled, *order]])
    nearest = np.minimum.accumulate(near, axis=1)[:, len(labelled) :]
    return (nearest <= radius).mean(axis=0)


@pytest.mark.parametrize("labelled", [(), (3, 40)])
def test_shares_are_those_of_plain_distances(labelled):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(120, 5))
    usable = generator.random(120) < 0.8
    usable[[3, 40]] = True
    chosen = np.setdiff1d(np.flatnonzero(usable), labelled)[10:40]
    curve = coverage_curve(
        features, chosen, "none", usable=usable, labelled=np.array(labelled, np.int64)
    )
    covered = np.flatnonzero(usable)
    expected = _plain_share(features, chosen, covered, curve.radius * (1 + 1e-5), labelled)[
        curve.counts - 1
    ]
    np.testing.assert_allclose(curve.share, expected)
    assert curve.random.shape == (5, len(curve.counts))
    assert (np.diff(curve.random, axis=1) >= 0).all()
    half = (1 + (30 + len(labelled)) / len(covered)) / 2  # of the others, and the drawn ones
    assert np.median(curve.random[:, -1]) == pytest.approx(half, abs=2 / len(covered))


def test_a_medoid_of_each_cluster_covers_all_of_it():
    generator = np.random.default_rng(1)
    centres = 100 * np.eye(6)
    features = np.repeat(centres, 30, axis=0) + generator.normal(size=(180, 6))
    curve = coverage_curve(features, np.arange(6) * 30, "none")
    assert curve.counts.tolist() == [1, 2, 3, 4, 5, 6]
    assert curve.share[-1] > curve.random[:, -1].mean()


def test_large_sets_are_sampled_and_the_result_repeats():
    features = np.random.default_rng(2).normal(size=(3000, 4)).astype(np.float32)
    curves = [coverage_curve(features, np.arange(300), "l2", rows=500) for _ in range(2)]
    np.testing.assert_array_equal(curves[0].share, curves[1].share)
    assert len(curves[0].counts) <= 60
    assert curves[0].counts[-1] == 300


def test_equal_images_are_all_covered_by_one():
    curve = coverage_curve(np.ones((10, 3)), np.array([4]), "l2")
    assert curve.share.tolist() == [1.0]
    assert curve.radius == 0


@pytest.mark.parametrize("count", [40, 60, 79])
def test_the_radius_is_that_of_images_that_were_not_drawn(count):
    features = np.random.default_rng(3).normal(size=(80, 64)) + 1000
    curve = coverage_curve(features, np.arange(count), "none")
    apart = cdist(features, features)
    assert curve.radius >= 0.99 * np.sort(apart, axis=1)[:, 1].min()
    assert curve.share[-1] >= count / 80
    assert (curve.random[:, -1] >= count / 80).all()


def test_an_image_and_its_copies_are_at_distance_0():
    points = 1e3 * np.random.default_rng(4).normal(size=(5, 8))
    for chosen in (np.arange(0, 150, 30), np.arange(150)):
        curve = coverage_curve(np.repeat(points, 30, axis=0), chosen, "none")
        assert curve.share[-1] == 1
    assert curve.radius == 0
    assert (curve.random[:, -1] == 1).all()


def test_nothing_chosen_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        coverage_curve(np.ones((10, 3)), np.array([], np.int64), "l2")
