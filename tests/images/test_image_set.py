import numpy as np
import pytest

from examine_jax.images import ImageSet, SkippedImage, exact_duplicates


def image_set(pixels, **others):
    return ImageSet(
        names=tuple(f"{i}.png" for i in range(len(pixels))),
        pixels=np.asarray(pixels, np.uint8),
        **others,
    )


def test_take_keeps_names_pixels_and_labels_together():
    images = image_set(
        np.arange(5 * 4).reshape(5, 2, 2, 1),
        labels=np.array([10, 11, 12, 13, 14]),
        skipped=(SkippedImage("x.png", "empty: 0 bytes"),),
        resized_up=2,
        bits_stored=12,
    )
    taken = images.take(range(4, 0, -2))
    assert len(images) == 5
    assert taken.names == ("4.png", "2.png")
    np.testing.assert_array_equal(taken.pixels, images.pixels[[4, 2]])
    np.testing.assert_array_equal(taken.labels, [14, 12])
    assert (taken.skipped, taken.resized_up, taken.bits_stored) == (images.skipped, 2, 12)
    assert len(images.take([])) == 0


def test_lengths_that_differ_are_refused():
    pixels = np.zeros((2, 4, 4, 1), np.uint8)
    with pytest.raises(ValueError, match="1 names for 2 images"):
        ImageSet(names=("a",), pixels=pixels)
    with pytest.raises(ValueError, match="3 labels for 2 images"):
        ImageSet(names=("a", "b"), pixels=pixels, labels=np.zeros(3))


def test_exact_duplicates_are_those_equal_to_the_byte():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (8, 5, 5, 3), dtype=np.uint8)
    pixels[6] = pixels[1]
    pixels[7] = pixels[1]
    pixels[5] = pixels[0]
    pixels[3] = pixels[2]
    pixels[3, 4, 4, 2] ^= 1
    assert exact_duplicates(image_set(pixels)) == ((0, 5), (1, 6, 7))
    assert exact_duplicates(image_set(pixels[2:5])) == ()
