"""Each figure of pixels alone moves as its name promises.

Where other libraries have the figure, ours is held against theirs.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import shannon_entropy

from examine_jax.quality.image_quality import (
    IMAGE_QUALITIES,
    entropy,
    exposure,
    sharpness,
    uniqueness,
)

PIXELS = np.random.default_rng(0).integers(0, 256, size=(6, 16, 20, 3)).astype(np.uint8)


def test_blur_lowers_sharpness() -> None:
    blurred = gaussian_filter(PIXELS.astype(float), (0, 1.5, 1.5, 0)).astype(np.uint8)
    assert (sharpness(blurred) < 0.5 * sharpness(PIXELS)).all()


def test_a_dark_image_stands_out() -> None:
    pixels = PIXELS.copy()
    pixels[2] //= 8
    assert np.argmin(exposure(pixels)) == 2


def test_entropy_is_scikit_images() -> None:
    grey = PIXELS[..., :1]
    np.testing.assert_allclose(entropy(grey), [shannon_entropy(image) for image in grey])


def test_copies_are_worth_nothing_and_their_first_all() -> None:
    np.testing.assert_array_equal(uniqueness(PIXELS[[0, 1, 0, 2, 0, 1]]), [1, 1, 0, 1, 0, 0])


@pytest.mark.parametrize("name", IMAGE_QUALITIES)
def test_constant_images_get_finite_values(name: str) -> None:
    assert np.isfinite(IMAGE_QUALITIES[name](np.zeros((3, 8, 8, 1), np.uint8))).all()
