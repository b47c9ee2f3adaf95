"""Areas, overlaps, bounds and the coding of boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.detection.geometry.boxes import area, clip, iou, is_finite, is_larger
from examine_jax.detection.geometry.coder import BoxCoder
from tests.detection.geometry.random_boxes import random_boxes

NAN, INF = float("nan"), float("inf")
AWKWARD = jnp.array(
    [
        [3, 3, 3, 9],  # empty
        [5, 5, 2, 9],  # turned round
        [NAN, 0, 4, 4],
        [0, 0, INF, INF],
        [0, 0, 4, 4],
    ],
    jnp.float32,
)


def plain_iou(a, b):
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if not (across > 0 and down > 0):
        return 0.0
    of_a, of_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return across * down / (of_a + of_b - across * down)


def test_iou_is_that_of_a_plain_loop():
    first, second = random_boxes(0, 20), random_boxes(1, 30)
    found = jax.jit(iou)(first, second)
    expected = [[plain_iou(a, b) for b in second.astype(float)] for a in first.astype(float)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@jax.jit
def described(boxes):
    return iou(boxes, boxes), area(boxes), is_finite(boxes), is_larger(boxes, 1e-3)


def test_boxes_that_are_empty_or_not_finite_overlap_nothing():
    found, areas, finite, larger = map(np.array, described(AWKWARD))
    assert found[4, 4] == 1
    found[4, 4] = 0
    assert not found.any()
    np.testing.assert_array_equal(areas[[0, 1, 4]], [0, 0, 16])
    np.testing.assert_array_equal(finite, [True, True, False, False, True])
    np.testing.assert_array_equal(larger, [False, False, False, False, True])


def test_no_boxes_have_no_overlaps():
    shape = jax.eval_shape(iou, jnp.zeros((0, 4)), jnp.zeros((3, 4))).shape
    assert shape == (0, 3)


def test_boxes_are_cut_to_the_image():
    found = jax.jit(lambda boxes: clip(boxes, 20, 30))(jnp.array([[-3.0, 2, 50, 99], [1, 2, 3, 4]]))
    np.testing.assert_array_equal(found, [[0, 2, 30, 20], [1, 2, 3, 4]])


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_decoding_gives_the_encoded_boxes(weights):
    boxes, references = random_boxes(0, 50), random_boxes(1, 50)
    coder = BoxCoder(weights)
    found = jax.jit(lambda b, r: coder.decode(coder.encode(b, r), r))(boxes, references)
    np.testing.assert_allclose(found, boxes, rtol=1e-4, atol=1e-3)
    assert not jax.jit(coder.encode)(boxes, boxes).any()


def test_sides_are_bounded_above_and_on_request_below():
    bounded = BoxCoder(smallest=-BoxCoder().largest)
    reference = jnp.array([[0.0, 0, 16, 16]])
    huge, tiny = jnp.array([[0.0, 0, 50, 50]]), jnp.array([[0.0, 0, -50, -50]])

    @jax.jit
    def run(reference):
        decoded = BoxCoder().decode(jnp.concatenate([huge, tiny]), reference)
        return decoded, area(decoded), bounded.decode(tiny, reference)

    decoded, areas, small = run(reference)
    np.testing.assert_allclose(decoded[0], [-492, -492, 508, 508], 1e-5)
    assert areas[1] < 1e-20
    np.testing.assert_allclose(small, [[7.872, 7.872, 8.128, 8.128]], 1e-5)


def test_an_empty_box_has_finite_offsets():
    empty = jnp.zeros((1, 4))
    assert np.isfinite(jax.jit(BoxCoder().encode)(empty, empty)).all()


def test_weights_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="weights must be four positive numbers"):
        BoxCoder((1.0, 1.0, 0.0, 1.0))
