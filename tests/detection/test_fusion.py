"""Fusion of several readers' boxes against ensemble-boxes, and by hand."""

import pathlib
from typing import Literal

import numpy as np
import pytest

from examine_jax.detection.fusion import fuse
from examine_jax.labelled.boxes import BoxSet

GOLDEN = pathlib.Path(__file__).parent / "golden" / "fusion.npz"


def box_set(corners, image=None, label=None, num_images: int = 2) -> BoxSet:  # type: ignore[no-untyped-def]
    corners = np.array(corners, float).reshape(-1, 4)
    zero = np.zeros(len(corners), int)
    return BoxSet(
        images=tuple(f"{i}.png" for i in range(num_images)),
        sizes=np.full((num_images, 2), 512),
        classes=("a", "b", "c"),
        image=zero if image is None else np.array(image),
        label=zero if label is None else np.array(label),
        corners=corners,
        reader=zero,
        readers=("R1",),
        line=zero + 2,
    )


def rows_of(boxes: BoxSet) -> np.ndarray:
    """(image, label, corners) in an order that does not depend on the code."""
    found = np.column_stack([boxes.image, boxes.label, boxes.corners])
    return found[np.lexsort(np.round(found, 2).T[::-1])]


@pytest.mark.parametrize("order", ["csv", "released"])
def test_the_result_is_that_of_ensemble_boxes(order: Literal["csv", "released"]) -> None:
    golden = np.load(GOLDEN)
    given = box_set(golden["corners"], golden["image"], golden["label"], 40)
    expected = golden[f"fused_{order}"]
    fused = fuse(given, order=order)
    assert len(fused) == len(expected) < len(given)
    expected = expected[np.lexsort(np.round(expected, 2).T[::-1])]
    found = rows_of(fused)
    # The package sums in single precision; the authors round to a tenth of a pixel.
    tolerance = 0.0501 if order == "released" else 1e-4
    order_by = np.lexsort(np.round(found, 0).T[::-1])
    by = np.lexsort(np.round(expected, 0).T[::-1])
    np.testing.assert_allclose(found[order_by], expected[by], atol=tolerance)
    assert fused.images == given.images
    assert fused.reader is None


def test_the_mean_moves_so_that_the_order_matters() -> None:
    # Each overlaps the next one by 1/3; the mean of the first two overlaps the third by less.
    chain = box_set([[0, 0, 40, 10], [20, 0, 60, 10], [45, 0, 85, 10]])
    assert fuse(chain).corners.tolist() == [[10, 0, 50, 10], [45, 0, 85, 10]]
    assert fuse(chain, order="released").corners.tolist() == [[32.5, 0, 72.5, 10], [0, 0, 40, 10]]


def test_the_limit_itself_is_not_enough() -> None:
    # IoU 1/5 exactly: 10 of 30 + 30 - 10.
    pair = box_set([[0, 0, 30, 1], [20, 0, 50, 1]])
    assert len(fuse(pair, iou=0.2)) == 2
    assert len(fuse(pair, iou=0.1999)) == 1


def test_only_boxes_of_one_image_and_class_fuse() -> None:
    same = [[0, 0, 10, 10]] * 4
    assert len(fuse(box_set(same, [0, 0, 1, 1], [0, 1, 0, 0]))) == 3
    one = fuse(box_set([[0.123, 0, 10, 10]]), order="released")
    assert one.corners.tolist() == [[0.123, 0, 10, 10]]  # a single box is kept as it is
    assert len(fuse(box_set([]))) == 0
    assert len(fuse(box_set([], num_images=0))) == 0


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        fuse(box_set([]), iou=1.0)
