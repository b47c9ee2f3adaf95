"""RoIAlign, in both forms, against ONNX Runtime, a linear ramp and one another."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.detection.geometry.roi_align import roi_align
from examine_jax.detection.geometry.roi_align_separable import roi_align_separable
from examine_jax.detection.geometry.roi_sampling import RoISampling
from tests.detection.geometry import onnx_operators
from tests.detection.geometry.random_boxes import random_boxes

STRIDES = (8, 16)
HEIGHT, WIDTH = 96, 128
MAPS = [
    np.random.default_rng(s).normal(size=(2, HEIGHT // s, WIDTH // s, 3)).astype(np.float32)
    for s in STRIDES
]
OUTSIDE = np.array([[-60, -60, -30, -30], [0, 0, 0, 0], [120, 90, 200, 150], [-9, 5, 3, 300]])
BOXES = np.stack(
    [np.concatenate([random_boxes(seed, 12), OUTSIDE]).astype(np.float32) for seed in (0, 1)]
)
FORMS = {"gather": roi_align, "separable": roi_align_separable}
CASES = [RoISampling(canonical_size=56), RoISampling(5, 3, aligned=True, canonical_size=40)]


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(form, sampling, maps, boxes):
    return FORMS[form](sampling, maps, STRIDES, boxes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sampling", CASES, ids=["torchvision", "aligned"])
def test_the_features_are_onnxruntimes(form, sampling):
    found = run(form, sampling, MAPS, BOXES)
    level = np.asarray(sampling.levels(jnp.asarray(BOXES), STRIDES))
    assert set(level.ravel()) == {0, 1}
    for image in range(2):
        for row, stride in enumerate(STRIDES):
            expected = onnx_operators.roi_align(
                MAPS[row][image],
                BOXES[image],
                1 / stride,
                sampling.outputs,
                sampling.samples,
                sampling.aligned,
            )
            own = level[image] == row
            np.testing.assert_allclose(found[image][own], expected[own], atol=1e-5)


@pytest.mark.parametrize("sampling", CASES, ids=["torchvision", "aligned"])
def test_both_forms_have_the_same_gradient(sampling):
    weights = np.random.default_rng(3).normal(size=run("gather", sampling, MAPS, BOXES).shape)

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(form, maps, boxes):
        return jax.grad(lambda *both: (run(form, sampling, *both) * weights).sum(), (0, 1))(
            maps, boxes
        )

    (found, of_boxes), (expected, _) = (gradient(form, MAPS, BOXES) for form in FORMS)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, atol=2e-5)
        assert np.abs(other).max() > 0.1
    assert not of_boxes.any()


@pytest.mark.parametrize("form", FORMS)
def test_the_features_of_a_ramp_are_the_ramp_at_the_centres_of_the_bins(form):
    y, x = np.mgrid[: HEIGHT // 8, : WIDTH // 8].astype(np.float32)
    ramp = (2 * x + 3 * y + 1)[None, ..., None]
    box = np.array([[[16.0, 24, 72, 66]]], np.float32)  # inside, on the finest level
    maps = [ramp, np.zeros((1, HEIGHT // 16, WIDTH // 16, 1), np.float32)]
    found = run(form, RoISampling(), maps, box)[0, 0, :, :, 0]
    centre = (np.arange(7) + 0.5) / 7
    expected = 2 * (2 + 7 * centre) + 3 * (3 + 5.25 * centre[:, None]) + 1
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_boxes_that_are_not_finite_have_no_features(form):
    boxes = jnp.array([[[jnp.nan] * 4, [0, 0, jnp.inf, jnp.inf]]])
    found = run(form, CASES[0], [one[:1] for one in MAPS], boxes)
    assert np.isfinite(found).all()
    assert not found[0, 0].any()


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_maps_have_float32_features(form):
    maps = [one.astype(jnp.bfloat16) for one in MAPS]
    found = run(form, CASES[0], maps, BOXES)
    expected = run(form, CASES[0], [one.astype(jnp.float32) for one in maps], BOXES)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_level_follows_the_area():
    sides = np.array([1.0, 111.9, 112, 223, 224, 447, 448, 896, 5000])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], 1).astype(np.float32)
    found = RoISampling().levels(jnp.asarray(boxes), (4, 8, 16, 32))
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 2, 2, 3, 3, 3])
    smaller = RoISampling(canonical_size=56).levels(jnp.asarray(boxes / 4), (4, 8, 16, 32))
    np.testing.assert_array_equal(smaller, found)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        RoISampling(samples=0)
