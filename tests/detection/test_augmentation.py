"""Boxes stay on what they enclose, whatever happens to the image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.detection.augmentation import NO_CHANGE, BoxAugmentation, augment

HEIGHT, WIDTH = 24, 40


def a_rectangle(x_min, y_min, x_max, y_max):
    image = np.full((HEIGHT, WIDTH, 1), 0.1, np.float32)
    image[y_min:y_max, x_min:x_max] = 1.0
    return image


BOXES = np.array([[4, 6, 12, 18], [20, 2, 38, 9], [30, 12, 34, 22]], np.float32)
IMAGES = np.stack([a_rectangle(*box.astype(int)) for box in BOXES])


def changed(settings, seeds):
    images = jnp.asarray(np.repeat(IMAGES, seeds, axis=0))
    boxes = jnp.asarray(np.repeat(BOXES, seeds, axis=0))[:, None]
    boxes = jnp.pad(boxes, ((0, 0), (0, 2), (0, 0)))
    mask = jnp.zeros(boxes.shape[:2], bool).at[:, 0].set(True)
    key = jax.random.key(0)
    return [np.asarray(part) for part in augment(key, images, boxes, mask, settings)]


def bright(image):
    """The box around the bright pixels, to half a pixel."""
    rows, columns = np.nonzero(image[..., 0] > 0.55)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


def test_flipped_boxes_enclose_what_they_enclosed():
    images, boxes, mask = changed(BoxAugmentation(0.5, 0.5), 40)
    assert mask[:, 0].all()
    for image, box in zip(images, boxes[:, 0]):
        assert np.array_equal(bright(image), box)
    assert len({box.tobytes() for box in boxes[40:80, 0]}) == 4


@pytest.mark.parametrize("scale", [(0.5, 1.0), (1.0, 2.0)])
def test_scaled_and_cropped_boxes_enclose_what_they_enclosed(scale):
    images, boxes, mask = changed(BoxAugmentation(0.5, 0.5, scale, least_visible=0.5), 60)
    assert mask[:, 0].mean() > 0.5
    assert not mask[:, 1:].any()
    for image, box, kept in zip(images, boxes[:, 0], mask[:, 0]):
        if kept and min(box[2:] - box[:2]) > 3:
            assert np.abs(bright(image) - box).max() <= 1.01


def test_a_box_of_which_too_little_is_left_is_dropped():
    _, boxes, mask = changed(BoxAugmentation(0.0, 0.0, (4.0, 4.0), least_visible=0.6), 60)
    sides = boxes[:, 0, 2:] - boxes[:, 0, :2]
    shares = sides.prod(axis=-1) / (16 * (BOXES[:, 2:] - BOXES[:, :2]).prod(axis=-1)).repeat(60)
    assert (shares[mask[:, 0]] >= 0.6 - 1e-5).all()
    assert 0 < mask[:, 0].mean() < 0.5
    assert (boxes[:, 0][~mask[:, 0]] == 0).all()


def test_no_change_changes_nothing():
    images, boxes, mask = changed(NO_CHANGE, 1)
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(boxes[:, 0], BOXES)
    assert mask.sum() == 3


def test_around_a_shrunk_image_is_its_mean_colour():
    images, _, _ = changed(BoxAugmentation(0.0, 0.0, (0.5, 0.5)), 5)
    means = IMAGES.mean(axis=(1, 2, 3)).repeat(5)
    for image, mean in zip(images, means):
        corners = image[[0, 0, -1, -1], [0, -1, 0, -1], 0]
        assert np.isclose(corners, mean, atol=1e-6).sum() >= 3


@pytest.mark.parametrize("scale", [(0.0, 1.0), (2.0, 1.0), (1.0, float("inf"))])
def test_a_scale_that_is_no_range_is_refused(scale):
    with pytest.raises(ValueError, match="two ascending factors"):
        BoxAugmentation(scale=scale)
