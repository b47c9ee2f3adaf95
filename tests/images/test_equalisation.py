"""Equalisation against scikit-image and by hand; noise in proportion to the mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.exposure import equalize_hist

from examine_jax.images.augmentation import RelativeNoise
from examine_jax.images.equalisation import equalised


def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    grey = rng.gamma(2.0, 20.0, (3, 40, 50, 1)).clip(0, 255).astype(np.uint8)
    return np.repeat(grey, 3, axis=3)


def test_equalisation_is_scikit_images_within_half_a_bin() -> None:
    given = images()
    found = equalised(given)
    for own, image in zip(found, given):
        grey = image[..., 0]
        steps = np.bincount(grey.ravel(), minlength=256) / grey.size
        # Half a bin of the curve, which is at most the largest step, and the rounding.
        tolerance = 255 * steps.max() + 1
        theirs = 255 * equalize_hist(grey, nbins=256)
        assert np.abs(own[..., 0] - theirs).max() <= tolerance
        assert np.array_equal(own[..., 0], own[..., 2])


def test_equalisation_by_hand() -> None:
    # Values 0, 100, 200 of a quarter, a quarter and a half of the pixels.
    image = np.array([[0, 0, 100, 100], [200, 200, 200, 200]], np.uint8)[None, :, :, None]
    counts, edges = np.histogram(image, 256, (0, 200))
    by_hand = np.interp([0, 100, 200], edges[:-1], 255 * np.cumsum(counts) / 8)
    assert sorted(set(equalised(image).ravel().tolist())) == np.rint(by_hand).astype(int).tolist()
    assert by_hand[-1] == 255


@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_image_of_one_value_stays(value: int) -> None:
    constant = np.full((2, 5, 5, 1), value, np.uint8)
    assert np.array_equal(equalised(constant), constant)
    assert equalised(constant[:0]).shape == (0, 5, 5, 1)


def test_noise_is_a_share_of_the_mean() -> None:
    means = jnp.array([0.2, 0.4, 0.0])
    given = jnp.broadcast_to(means[:, None, None, None], (3, 64, 64, 2))
    found = np.asarray(RelativeNoise((0.125, 0.25))(jax.random.key(0), given))
    share = (found - given).std(axis=(1, 2, 3))[:2] / means[:2]
    assert (share > 0.12).all()
    assert (share < 0.26).all()
    assert (found[2] == 0).all()
    assert found.min() >= 0
    fixed = np.asarray(RelativeNoise((0.2, 0.2), one_channel=True)(jax.random.key(1), given))
    np.testing.assert_allclose((fixed - given)[0].std(), 0.04, rtol=0.03)
    assert np.array_equal(fixed[..., 0], fixed[..., 1])
    with pytest.raises(ValueError, match="RelativeNoise"):
        RelativeNoise((0.3, 0.2))
