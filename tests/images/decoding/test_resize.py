import numpy as np
import pytest
import skimage
from PIL import Image

from examine_jax.images.decoding.resize import (
    luma,
    resize_bands,
    resize_bytes,
    resize_image,
    resize_values,
)


@pytest.mark.parametrize("shape", [(31, 57, 1), (57, 31, 3), (9, 9, 3), (16, 16, 3), (1, 1, 1)])
def test_bytes_are_resized_as_pillow_does(shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(pixels[..., 0] if shape[-1] == 1 else pixels)
    expected = np.asarray(image.resize((16, 16), Image.Resampling.LANCZOS)).reshape(16, 16, -1)
    np.testing.assert_array_equal(resize_bytes(pixels, 16), expected)


def test_values_keep_their_depth():
    values = (
        1000 + np.random.default_rng(2).random((40, 30, 3), np.float32) * 2000
    )  # Far from black and white, where bytes clip.
    resized = resize_values(values, 16)
    assert resized.dtype == np.float32
    expected = resize_bytes(np.rint(values * 255 / 4095).astype(np.uint8), 16)
    np.testing.assert_allclose(
        resized * 255 / 4095, expected, atol=2
    )  # Bytes are rounded between the axes.


def test_a_finer_pattern_than_the_result_averages_out_instead_of_aliasing():
    checkerboard = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    resized = resize_bytes(checkerboard, 32)[2:-2, 2:-2]
    assert np.abs(resized.astype(int) - 127.5).max() <= 2


def test_reduction_agrees_with_scikit_images_antialiased_resize_on_a_smooth_picture():
    picture = skimage.filters.gaussian(np.random.default_rng(3).random((128, 128)), 6)
    picture = ((picture - picture.min()) / np.ptp(picture) * 255).astype(np.uint8)
    expected = skimage.transform.resize(picture, (32, 32), anti_aliasing=True, preserve_range=True)
    np.testing.assert_allclose(
        resize_bytes(picture[..., None], 32)[4:-4, 4:-4, 0], expected[4:-4, 4:-4], atol=3
    )


def test_luma_is_pillows():
    pixels = np.random.default_rng(4).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
    np.testing.assert_allclose(luma(pixels.astype(np.float32))[..., 0], expected, atol=0.51)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(57, 31, 3), (31, 57, 1), (16, 40, 1), (40, 16, 3)])
def test_bands_give_what_the_whole_gives(dtype, shape):
    values = np.random.default_rng(5).integers(60, 190, shape).astype(dtype)
    whole = (resize_bytes if dtype == np.uint8 else resize_values)(values, 16)
    for rows in (1, 7, 1000):
        bands = (values[top : top + rows] for top in range(0, shape[0], rows))
        # Pillow may take the axes in the other order, and rounds bytes between them.
        np.testing.assert_allclose(
            resize_bands(bands, *shape[:2], 16).astype(float),
            whole,
            atol=2 if dtype == np.uint8 else 1e-4,
        )


def test_a_narrow_image_of_very_many_rows_takes_no_more_memory_than_its_own():
    rows = 400_000  # At 256 columns, 100 MB.
    values = np.full((rows, 1, 1), 77, np.uint8)
    values[rows // 2 :] = 99
    expected = np.repeat([77, 99], 128)
    image = resize_image(Image.fromarray(values[..., 0]), 256)
    parts = [values[: rows // 3], values[rows // 3 :]]
    for resized in (np.asarray(image), resize_bands(iter(parts), rows, 1, 256)[..., 0]):
        np.testing.assert_allclose(resized[:120, 5], expected[:120])
        np.testing.assert_allclose(resized[136:, 200], expected[136:])
