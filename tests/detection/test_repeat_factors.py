"""Rare classes are repeated as LVIS says."""

import numpy as np
import pytest

from examine_jax.detection.repeat_factors import (
    RepeatFactors,
    images_by_class,
    repeated_images_by_class,
)
from examine_jax.labelled.boxes.box_set import BoxSet


def boxes_of(*labels_by_image, classes=2):
    """A box set whose image i has boxes of these labels."""
    pairs = [(image, label) for image, labels in enumerate(labels_by_image) for label in labels]
    image, label = np.array(pairs, np.int32).reshape(-1, 2).T
    count = len(labels_by_image)
    return BoxSet(
        tuple(f"{i}.png" for i in range(count)),
        np.full((count, 2), 10, np.int32),
        tuple("abc"[:classes]),
        image,
        label,
        np.tile(np.array([1.0, 1.0, 5.0, 5.0]), (len(image), 1)),
    )


def test_the_rarest_class_of_the_paper_has_its_factor():
    """81 of 3,075 images have a pneumothorax: 3.90, and figure 3 shows 81 -> 324."""
    boxes = boxes_of(*[[1]] * 81, *[[0]] * 2994)
    factors = RepeatFactors(0.4).of(boxes)
    assert factors[0] == pytest.approx((0.4 * 3075 / 81) ** 0.5)
    assert (factors[81:] == 1).all()
    whole = RepeatFactors(0.4, whole=True).of(boxes)
    assert repeated_images_by_class(boxes, whole).tolist() == [2994, 324]


def test_an_image_has_the_largest_factor_of_its_classes():
    boxes = boxes_of([0, 0, 1], [0], [0], [0], [], [0], [0], [0], [0], [0])
    assert images_by_class(boxes).tolist() == [9, 1]
    factors = RepeatFactors(0.4).of(boxes)
    assert factors.tolist() == [2.0, *[1.0] * 9]


def test_a_factor_that_is_a_whole_number_is_not_rounded_up():
    boxes = boxes_of([1], *[[0]] * 9)
    assert RepeatFactors(0.4, whole=True).of(boxes).max() == 2


def test_a_class_without_boxes_changes_nothing():
    boxes = boxes_of([0], [], classes=3)
    assert RepeatFactors(0.4).of(boxes).tolist() == [1.0, 1.0]
    assert images_by_class(boxes).tolist() == [1, 0, 0]


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(ValueError, match="share of the images"):
        RepeatFactors(threshold)
