"""Blur, against SciPy and Pillow; noise, by its moments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage, stats

from examine_jax.images.augmentation import GaussianBlur, GaussianNoise
from examine_jax.images.augmentation.blur import blurred

quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

IMAGES = np.random.default_rng(0).random((4, 30, 22, 2), np.float32)


@pytest.mark.parametrize("radius", [0, 1, 4, 40])
def test_blur_is_scipys_gaussian_filter(radius: int) -> None:
    sigmas = np.array([0.1, 0.7, 2.0, 9.0], np.float32)
    result = np.asarray(
        quickly(blurred, static_argnums=2)(jnp.asarray(IMAGES), jnp.asarray(sigmas), radius)
    )
    for image, sigma, ours in zip(IMAGES, sigmas, result):
        expected = ndimage.gaussian_filter(
            image.astype(np.float64), sigma=float(sigma), mode="nearest", radius=radius, axes=(0, 1)
        )
        np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_a_wide_kernel_comes_near_pillows_blur() -> None:
    """MoCo's and VICReg's codes use Pillow's GaussianBlur: three box blurs of that variance."""
    rows, columns = np.mgrid[:64, :64]
    disc = (255 * ((rows - 30) ** 2 + (columns - 35) ** 2 < 200)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(disc).filter(ImageFilter.GaussianBlur(2.0))).astype(
        np.float32
    )
    ours = 255 * np.asarray(
        quickly(blurred, static_argnums=2)(
            jnp.asarray(disc[None, ..., None] / np.float32(255)), jnp.array([2.0]), 8
        )
    )
    assert np.abs(ours[0, ..., 0] - expected).max() < 4


def test_a_sigma_of_zero_does_not_blur() -> None:
    np.testing.assert_allclose(blurred(jnp.asarray(IMAGES), jnp.zeros(4), 3), IMAGES, atol=1e-7)


@pytest.mark.parametrize(("side", "reach"), [(224, 11), (72, 3), (32, 1), (8, 0)])
def test_the_kernel_is_a_tenth_of_the_side_as_in_simclr_and_byol(side: int, reach: int) -> None:
    image = jnp.zeros((1, side, side, 1)).at[0, side // 2, side // 2].set(1)
    spread = np.asarray(
        quickly(GaussianBlur(sigma=(5.0, 5.0), probability=1.0))(jax.random.key(0), image)
    )[0, ..., 0]
    assert np.ptp(np.nonzero(spread.sum(axis=0))[0]) == 2 * reach
    np.testing.assert_allclose(spread.sum(), 1, atol=1e-5)


def test_each_image_draws_its_own_width_from_the_range() -> None:
    point = jnp.zeros((2000, 9, 9, 1)).at[:, 4, 4].set(1)
    spread = np.asarray(
        quickly(GaussianBlur(sigma=(0.5, 2.0), kernel_size=3, probability=1.0))(
            jax.random.key(0), point
        )
    )
    sigma = 1 / np.sqrt(-2 * np.log(spread[:, 4, 5, 0] / spread[:, 4, 4, 0]))
    assert stats.kstest(sigma, stats.uniform(0.5, 1.5).cdf).pvalue > 1e-3


def test_blur_touches_the_share_of_images_asked_for() -> None:
    point = jnp.zeros((2000, 5, 5, 1)).at[:, 2, 2].set(1)
    result = quickly(GaussianBlur(sigma=(1.0, 2.0), kernel_size=3, probability=0.3))(
        jax.random.key(0), point
    )
    assert abs(float((result[:, 2, 2, 0] < 1).mean()) - 0.3) < 0.05


def test_noise_has_the_deviation_asked_for_and_another_for_each_image() -> None:
    images = jnp.full((500, 12, 12, 3), 0.5)
    result = (
        np.asarray(quickly(GaussianNoise((0.02, 0.1), probability=1.0))(jax.random.key(0), images))
        - 0.5
    )
    deviations = result.std(axis=(1, 2, 3))
    assert stats.kstest(deviations, stats.uniform(0.02, 0.08).cdf).statistic < 0.09
    assert abs(result.mean()) < 1e-3
    white = result / deviations[:, None, None, None]
    assert abs(np.corrcoef(white[..., 0].ravel(), white[..., 1].ravel())[0, 1]) < 0.02


def test_noise_stays_in_range_and_touches_the_share_asked_for() -> None:
    images = jnp.zeros((2000, 3, 3, 1))
    result = np.asarray(
        quickly(GaussianNoise((0.5, 0.5), probability=0.25))(jax.random.key(0), images)
    )
    assert result.min() == 0
    assert result.max() <= 1
    assert abs((result > 0).any(axis=(1, 2, 3)).mean() - 0.25) < 0.05


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GaussianBlur(sigma=(2.0, 0.1)), "ascending"),
        (lambda: GaussianBlur(kernel_size=4), "odd"),
        (lambda: GaussianBlur(probability=-1.0), "probability"),
        (lambda: GaussianNoise(deviation=(-0.1, 0.1)), "below 0"),
    ],
)
def test_impossible_settings_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
