"""Control features: pixels, channel means and colour statistics."""

import numpy as np
import pytest

from examine_jax.evaluation.control_features import (
    channel_means,
    colour_histogram,
    colour_statistics,
    raw_pixels,
)


def test_raw_pixels_are_the_flattened_image():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 2), dtype=np.uint8)
    features = raw_pixels(pixels)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, pixels.reshape(5, 24) / 255, rtol=1e-6)


def test_channel_means_are_right_on_large_images():
    pixels = np.random.default_rng(0).integers(200, 256, (2, 512, 512, 3), dtype=np.uint8)
    features = channel_means(pixels)
    assert features.dtype == np.float32
    np.testing.assert_allclose(
        features, pixels.astype(np.float64).mean(axis=(1, 2)) / 255, rtol=2e-7
    )


def test_colour_statistics_are_the_channels_moments():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 7, 5, 3), dtype=np.uint8)
    values = pixels.reshape(4, 35, 3) / 255
    expected = np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=1)
    np.testing.assert_allclose(colour_statistics(pixels), expected, rtol=1e-6)


@pytest.mark.parametrize("bins", [1, 4, 16])
def test_colour_histogram_is_numpy_s(bins):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 7, 5, 3), dtype=np.uint8)
    pixels[0] = 255
    values = pixels.astype(np.float32) / 255
    expected = [
        np.concatenate([np.histogram(image[..., c], bins, (0, 1))[0] / 35 for c in range(3)])
        for image in values
    ]
    np.testing.assert_allclose(colour_histogram(pixels, bins=bins), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "control", [raw_pixels, channel_means, colour_statistics, colour_histogram]
)
def test_floats_in_the_unit_interval_are_taken_as_they_are(control):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    np.testing.assert_allclose(
        control((pixels / 255).astype(np.float32)), control(pixels), rtol=1e-6
    )


def test_no_image_gives_no_rows():
    assert raw_pixels(np.zeros((0, 4, 4, 3), np.uint8)).shape == (0, 48)


@pytest.mark.parametrize(
    "control", [raw_pixels, channel_means, colour_statistics, colour_histogram]
)
@pytest.mark.parametrize("bad", [1.5, -0.1, np.nan, np.inf])
def test_floats_outside_the_unit_interval_are_refused_by_image(control, bad):
    pixels = np.zeros((3, 2, 2, 1), np.float32)
    pixels[1, 0, 1, 0] = bad
    with pytest.raises(ValueError, match=r"images \[1\]"):
        control(pixels)


def test_other_integers_are_refused():
    with pytest.raises(ValueError, match="uint16"):
        raw_pixels(np.zeros((1, 2, 2, 1), np.uint16))
