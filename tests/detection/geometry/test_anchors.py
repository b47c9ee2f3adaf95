"""Anchors: places, sizes, and how many boxes they reach."""

import numpy as np
import pytest

from examine_jax.detection.geometry.anchors import (
    AnchorSettings,
    anchors_from_boxes,
    best_overlaps,
    make_anchors,
    share_reached,
)
from tests.detection.geometry.random_boxes import random_boxes
from tests.detection.geometry.test_boxes import plain_iou

TWO = AnchorSettings(((16.0, 22.0), (32.0, 45.0)), (0.5, 2.0), (8, 16))


def test_anchors_are_those_of_a_plain_loop():
    expected, expected_levels = [], []
    for level, (sizes, stride) in enumerate(zip(TWO.sizes, TWO.strides)):
        for y in range(-(-40 // stride)):
            for x in range(-(-56 // stride)):
                for ratio in TWO.ratios:
                    for size in sizes:
                        w, h = size / ratio**0.5 / 2, size * ratio**0.5 / 2
                        corners = [round(-w), round(-h), round(w), round(h)]
                        steps = (56 // -(-56 // stride), 40 // -(-40 // stride)) * 2
                        expected.append(
                            [c + s * p for c, s, p in zip(corners, steps, (x, y, x, y))]
                        )
                        expected_levels.append(level)
    anchors, levels = make_anchors(TWO, 40, 56)
    np.testing.assert_array_equal(anchors, expected)
    np.testing.assert_array_equal(levels, expected_levels)
    assert anchors.dtype == np.float32
    assert levels.dtype == np.int32


def test_torchvisions_number_of_anchors():
    anchors, levels = make_anchors(AnchorSettings(), 512, 512)
    assert len(anchors) == 65_472
    np.testing.assert_array_equal(np.bincount(levels), 3 * 4.0 ** np.arange(7, 2, -1))
    np.testing.assert_array_equal(anchors[0], [-23, -11, 23, 11])  # 22.63 and 11.31
    exact = make_anchors(AnchorSettings(rounded=False), 512, 512)[0]
    np.testing.assert_allclose(exact[0], np.array([-2, -1, 2, 1]) * 8 * 2**0.5, rtol=1e-6)


def test_corners_are_rounded_half_to_even():
    anchors, _ = make_anchors(AnchorSettings(((5.0, 7.0),), (1.0,), (4,)), 4, 4)
    np.testing.assert_array_equal(anchors, [[-2, -2, 2, 2], [-4, -4, 4, 4]])


def test_the_best_overlaps_are_those_of_a_plain_loop():
    boxes = random_boxes(0, 12, 40, 56)
    anchors = make_anchors(TWO, 40, 56)[0].astype(float)
    expected = [max(plain_iou(box, anchor) for anchor in anchors) for box in boxes.astype(float)]
    np.testing.assert_allclose(best_overlaps(TWO, 40, 56, boxes), expected, atol=1e-6)
    share = np.mean(np.array(expected) >= 0.5)
    assert share_reached(TWO, 40, 56, boxes, 0.5) == share
    assert np.isnan(share_reached(TWO, 40, 56, boxes[:0], 0.5))


def squares(sizes):
    sizes = np.asarray(sizes, float)
    return np.stack([0 * sizes, 0 * sizes, sizes, sizes], axis=1)


def test_anchors_from_boxes_span_the_sizes_of_every_class():
    rng = np.random.default_rng(0)
    common, rare = rng.uniform(40, 50, 1000), rng.uniform(10, 12, 20)
    labels = np.repeat([0, 1], [1000, 20])
    found = anchors_from_boxes(squares([*common, *rare]), labels)
    sizes = np.ravel(found.sizes)
    assert 10 <= sizes[0] < 11
    assert 49 < sizes[-1] <= 50
    np.testing.assert_allclose(sizes[1:] / sizes[:-1], (sizes[-1] / sizes[0]) ** 0.2, rtol=0.01)
    assert len(found.sizes) == len(found.strides) == 3


def test_anchors_from_boxes_of_one_size_differ_all_the_same():
    sizes = np.ravel(anchors_from_boxes(squares([30.0] * 5)).sizes)
    np.testing.assert_allclose(sizes[1:] / sizes[:-1], 2**0.25, rtol=0.01)


def test_anchors_from_no_boxes_are_refused():
    with pytest.raises(ValueError, match="none of 1 boxes has positive sides"):
        anchors_from_boxes(np.array([[3.0, 3, 3, np.nan]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (8,)}, "give one tuple of sizes for each stride"),
        ({"sizes": ((16.0,), (32.0, 45.0))}, "the same number of sizes"),
        ({"sizes": ((16.0,), (-1.0,))}, "must be positive"),
        ({"ratios": ()}, "must be positive"),
        ({"strides": (8, 32)}, "each twice the one before"),
    ],
)
def test_impossible_anchors_are_refused(changes, message):
    fields = {"sizes": TWO.sizes, "ratios": TWO.ratios, "strides": TWO.strides, **changes}
    with pytest.raises(ValueError, match=message):
        AnchorSettings(**fields)
