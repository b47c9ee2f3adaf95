"""Non-maximum suppression is exactly that of ONNX Runtime."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.detection.geometry.nms import suppress, suppress_each
from tests.detection.geometry import onnx_operators
from tests.detection.geometry.random_boxes import random_boxes

COUNT = 256
BOXES = random_boxes(0, COUNT)
SCORES = np.random.default_rng(1).permutation(COUNT).astype(np.float32)
run = jax.jit(suppress, static_argnums=2)


def crowded():
    """Boxes that overlap a lot, in long chains."""
    start = np.sort(np.random.default_rng(2).uniform(0, 60, COUNT)).astype(np.float32)
    return np.stack([start, 0 * start, start + 30, 0 * start + 30], axis=1)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("boxes", [BOXES, crowded()], ids=["scattered", "crowded"])
def test_the_kept_boxes_are_onnxruntimes(boxes, threshold):
    kept = run(boxes, SCORES, threshold)
    expected = onnx_operators.suppress(boxes, SCORES, threshold)[0]
    np.testing.assert_array_equal(kept, expected)
    assert 0 < kept.sum() < COUNT


def test_groups_are_suppressed_apart():
    groups = np.random.default_rng(3).integers(0, 3, COUNT)
    kept = run(BOXES, SCORES, 0.3, groups=groups)
    for group in range(3):
        own = groups == group
        expected = onnx_operators.suppress(BOXES[own], SCORES[own], 0.3)[0]
        np.testing.assert_array_equal(kept[own], expected)


def test_boxes_that_are_masked_out_suppress_nothing():
    mask = np.random.default_rng(4).uniform(size=COUNT) < 0.5
    kept = run(BOXES, SCORES, 0.3, mask=mask)
    assert not kept[~mask].any()
    expected = onnx_operators.suppress(BOXES[mask], SCORES[mask], 0.3)[0]
    np.testing.assert_array_equal(kept[mask], expected)


def test_disjoint_boxes_are_kept_and_equal_ones_leave_the_first():
    corner = 10.0 * jnp.arange(5)
    apart = jnp.stack([corner, corner, corner + 10, corner + 10], axis=1)
    assert run(apart, jnp.ones(5), 0.0).all()
    np.testing.assert_array_equal(run(apart[jnp.zeros(5, int)], jnp.ones(5), 0.5), [1, 0, 0, 0, 0])


def test_an_overlap_of_just_the_threshold_is_kept():
    halves = jnp.array([[0.0, 0, 4, 4], [0, 0, 4, 2]])
    assert run(halves, jnp.array([1.0, 0.5]), 0.5).all()
    assert run(halves, jnp.array([1.0, 0.5]), 0.49).sum() == 1


def test_boxes_and_scores_that_are_not_finite_are_dropped():
    boxes = jnp.array([[0.0, 0, 9, 9], [jnp.nan, 0, 9, 9], [0, 0, jnp.inf, 9], [0, 0, 9, 9]])
    kept = run(boxes, jnp.array([0.1, 0.9, 0.8, jnp.nan]), 0.5)
    np.testing.assert_array_equal(kept, [True, False, False, False])


def test_no_boxes():
    assert run(jnp.zeros((0, 4)), jnp.zeros(0), 0.5).shape == (0,)


def test_several_sets_at_once():
    boxes = BOXES.reshape(4, 64, 4)
    mask = np.random.default_rng(5).uniform(size=(4, 64)) < 0.8
    together = jax.jit(suppress_each, static_argnums=1)(boxes, 0.4, mask)
    falling = -np.arange(64.0, dtype=np.float32)
    for kept, one, own in zip(together, boxes, mask):
        np.testing.assert_array_equal(kept, run(one, falling, 0.4, mask=own))
