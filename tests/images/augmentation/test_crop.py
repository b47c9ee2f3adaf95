"""Random resized crop, against Pillow."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from examine_jax.images.augmentation import RandomResizedCrop
from examine_jax.images.augmentation.crop import resized_crop

quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
resized_crop = quickly(resized_crop, static_argnums=(2, 3))

BOXES = [
    (3, 5, 40, 61),
    (0, 0, 64, 72),
    (60, 50, 3, 9),
    (0, 0, 1, 1),
    (10, 71, 50, 1),
    (0, 0, 24, 24),
    (40, 48, 24, 24),
]


def boxes_of(crop: RandomResizedCrop) -> Callable[..., jax.Array]:
    return quickly(crop.boxes, static_argnums=(1, 2, 3))


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Bytes with structure at every scale, as in photographs.

    They leave room for overshoots, which Pillow clips between the axes.
    """
    noise = np.random.default_rng(0).normal(size=(height, width, channels))
    smooth = sum(ndimage.gaussian_filter(noise, (sigma, sigma, 0)) * sigma for sigma in (1, 3, 9))
    return np.rint(128 + 80 * smooth / np.abs(smooth).max()).astype(np.uint8)


def by_pillow(
    image: Image.Image, box: tuple[int, int, int, int], size: int, interpolation: str
) -> np.ndarray:
    top, left, height, width = box
    filter_ = getattr(Image.Resampling, interpolation.upper())
    return np.asarray(
        image.crop((left, top, left + width, top + height)).resize((size, size), filter_)
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [24, 96])
def test_it_is_pillows_crop_and_resize_to_the_rounding_of_a_byte(
    interpolation: str, size: int
) -> None:
    pixels = picture(64, 72)
    images, boxes = np.stack([pixels] * len(BOXES)), np.array(BOXES, np.float32)
    ours = 255 * np.asarray(resized_crop(images, boxes, size, interpolation))
    for result, box in zip(ours, BOXES):
        expected = by_pillow(Image.fromarray(pixels), box, size, interpolation)
        # Pillow rounds twice, once an axis, and the second pass of a bicubic resize makes up to
        # 1.25 of the first rounding.
        assert np.abs(result - expected).max() <= 1.001 + 0.2 * (interpolation == "bicubic"), box


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_it_is_pillows_resize_of_floats_to_six_digits(interpolation: str) -> None:
    plane = (
        picture(64, 72, 1)[..., 0].astype(np.float32) / 255
    )  # room for the overshoots, which only bytes clip
    images, boxes = np.stack([plane[..., None]] * len(BOXES)), np.array(BOXES, np.float32)
    ours = np.asarray(resized_crop(images, boxes, 24, interpolation))[..., 0]
    for result, box in zip(ours, BOXES):
        np.testing.assert_allclose(
            result, by_pillow(Image.fromarray(plane), box, 24, interpolation), atol=2e-6
        )


def test_a_box_inside_the_image_is_pillows_resize_of_that_box_but_for_its_border() -> None:
    """resize(box=...) looks beyond the box, by the filter's width; a crop does not."""
    plane = picture(64, 72, 1)[..., 0].astype(np.float32) / 255
    expected = np.asarray(
        Image.fromarray(plane).resize(
            (24, 24), Image.Resampling.BILINEAR, box=(10, 8, 10 + 48, 8 + 36)
        )
    )
    ours = np.asarray(
        resized_crop(
            plane[None, ..., None], np.array([[8, 10, 36, 48]], np.float32), 24, "bilinear"
        )
    )[0, ..., 0]
    np.testing.assert_allclose(ours[1:-1, 1:-1], expected[1:-1, 1:-1], atol=2e-6)


@pytest.mark.parametrize("channels", [2, 7])
def test_any_number_of_channels_each_as_it_would_be_alone(channels: int) -> None:
    images = jax.random.uniform(jax.random.key(0), (3, 20, 16, channels))
    crop = quickly(RandomResizedCrop(12))
    together = crop(jax.random.key(1), images)
    for channel in (0, channels - 1):
        alone = crop(jax.random.key(1), images[..., channel : channel + 1])
        np.testing.assert_allclose(together[..., channel], alone[..., 0], atol=1e-6)


def test_boxes_are_drawn_from_the_ranges_asked_for() -> None:
    crop = RandomResizedCrop(8, scale=(0.2, 0.5), ratio=(3 / 4, 4 / 3))
    top, left, height, width = np.asarray(boxes_of(crop)(jax.random.key(0), 20_000, 400, 400)).T
    for values in (top, left, height, width):
        assert np.array_equal(values, np.rint(values))
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 400).all()
    assert (left + width <= 400).all()
    area, ratio = height * width / 400**2, width / height
    # Whole pixels blur the edges of the distributions by about 1 in 200.
    assert stats.kstest(area, stats.uniform(0.2, 0.3).cdf).statistic < 0.02
    assert (
        stats.kstest(np.log(ratio), stats.uniform(np.log(3 / 4), 2 * np.log(4 / 3)).cdf).statistic
        < 0.02
    )
    assert stats.kstest((top + 0.5) / (400 - height + 1), "uniform").statistic < 0.02
    assert stats.kstest((left + 0.5) / (400 - width + 1), "uniform").statistic < 0.02


@pytest.mark.parametrize("shape", [(30, 300), (300, 30), (1, 1), (5, 4)])
def test_an_image_that_no_drawn_box_fits_gives_its_largest_central_one(
    shape: tuple[int, int],
) -> None:
    crop = RandomResizedCrop(8, scale=(1.0, 1.0))
    boxes = np.asarray(boxes_of(crop)(jax.random.key(0), 64, *shape))
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, 0] + boxes[:, 2] <= shape[0]).all()
    assert (boxes[:, 1] + boxes[:, 3] <= shape[1]).all()
    if shape == (30, 300):
        assert (boxes == [0, 130, 30, 40]).all()
    if shape == (300, 30):
        assert (boxes == [130, 0, 40, 30]).all()


def test_bytes_and_floats_of_the_same_values_give_the_same() -> None:
    pixels = picture(20, 20)[None]
    crop, key = quickly(RandomResizedCrop(16)), jax.random.key(3)
    result = crop(key, jnp.asarray(pixels))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, crop(key, pixels.astype(np.float32) / 255), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "1 pixel"),
        ({"size": 8, "scale": (0.0, 1.0)}, "scale"),
        ({"size": 8, "scale": (0.5, 0.2)}, "scale"),
        ({"size": 8, "ratio": (2.0, 1.0)}, "ratio"),
        ({"size": 8, "interpolation": "nearest"}, "bicubic"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(Exception, match=message):
        RandomResizedCrop(**arguments)
