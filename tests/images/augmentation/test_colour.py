"""Colour augmentations, against Pillow and the standard library's colorsys."""

import colorsys
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

from examine_jax.images.augmentation import ColorJitter, RandomGrayscale, Solarize
from examine_jax.images.augmentation.colour import jittered

quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
jittered = quickly(jittered)

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
PIXELS[:6, :4] = 77  # greys have no hue
PIXELS[0, :3] = [[0, 0, 0], [255, 255, 255], [255, 0, 255]]
UNIT = PIXELS.astype(np.float32) / 255


def by_pillow(which: int, image: Image.Image, factor: float) -> Image.Image:
    return (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[which](
        image
    ).enhance(factor)


def hue_by_colorsys(values: np.ndarray, turn: float) -> np.ndarray:
    def turned(rgb: np.ndarray) -> tuple[float, float, float]:
        hue, saturation, value = colorsys.rgb_to_hsv(*rgb.tolist())
        return colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)

    return np.apply_along_axis(turned, -1, values.astype(np.float64))


def changed(
    values: np.ndarray, factors=(1.0, 1.0, 1.0), turn: float = 0.0, order=(0, 1, 2, 3)
) -> np.ndarray:
    result = jittered(
        jnp.asarray(values[None]),
        jnp.array([factors], jnp.float32),
        jnp.array([turn]),
        jnp.array([order]),
    )
    return np.asarray(result[0])


@pytest.mark.parametrize("which", [0, 1, 2], ids=["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_each_blend_is_pillows_to_the_rounding_of_a_byte(which: int, factor: float) -> None:
    factors = [1.0, 1.0, 1.0]
    factors[which] = factor
    expected = np.asarray(by_pillow(which, Image.fromarray(PIXELS), factor)).astype(np.float32)
    # Pillow truncates the result, and rounds the mean of the grey and the grey itself, of which the
    # blend takes |1 - factor|.
    assert np.abs(255 * changed(UNIT, factors) - expected).max() <= 1.01 + abs(1 - factor)


@pytest.mark.parametrize("turn", [-0.5, -0.21, 0.0, 0.1, 0.37, 0.5])
def test_hue_is_turned_as_colorsys_turns_it(turn: float) -> None:
    np.testing.assert_allclose(changed(UNIT, turn=turn), hue_by_colorsys(UNIT, turn), atol=2e-6)


@pytest.mark.parametrize("order", itertools.permutations(range(4)))
def test_all_orders_are_used(order: tuple[int, ...]) -> None:
    factors, turn = (1.3, 0.6, 1.4), 0.15
    expected = UNIT.astype(np.float64)
    for which in order:
        grey = expected @ [0.299, 0.587, 0.114]
        if which == 3:
            expected = hue_by_colorsys(expected, turn)
        else:
            reference = (0.0, grey.mean(), grey[..., None])[which]
            expected = np.clip(factors[which] * expected + (1 - factors[which]) * reference, 0, 1)
    np.testing.assert_allclose(changed(UNIT, factors, turn, order), expected, atol=5e-6)


def test_factors_of_one_and_no_turn_change_nothing_but_rounding() -> None:
    np.testing.assert_allclose(changed(UNIT), UNIT, atol=1e-6)


def test_factors_and_turns_fill_their_ranges_evenly() -> None:
    draws = jax.random.uniform(jax.random.key(0), (20_000, 4))
    factors, turns = ColorJitter(0.4, 1.5, 0.2, 0.1)._strengths(draws)
    for column, (low, high) in zip(np.asarray(factors).T, [(0.6, 1.4), (0.0, 2.5), (0.8, 1.2)]):
        assert stats.kstest(column, stats.uniform(low, high - low).cdf).statistic < 0.015
    assert stats.kstest(np.asarray(turns), stats.uniform(-0.1, 0.2).cdf).statistic < 0.015


def test_jitter_touches_the_share_of_images_asked_for_and_leaves_the_rest_alone() -> None:
    images = jnp.broadcast_to(jnp.asarray(UNIT[:4, 4:8]), (2000, 4, 4, 3))
    result = quickly(ColorJitter(probability=0.8))(jax.random.key(1), images)
    same = np.asarray((result == images).all(axis=(1, 2, 3)))
    assert abs(same.mean() - 0.2) < 0.04
    assert (
        len(np.unique(np.asarray(result.sum(axis=(1, 2, 3))))) > 1500
    )  # each image by its own draws
    assert (np.asarray(result) >= 0).all()
    assert (np.asarray(result) <= 1).all()


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("augmentation", [ColorJitter(probability=1.0), RandomGrayscale(1.0)])
def test_images_without_colours_stay_as_they_are(augmentation, channels: int) -> None:
    images = jax.random.uniform(jax.random.key(0), (2, 4, 4, channels))
    assert np.array_equal(augmentation(jax.random.key(0), images), images)


def test_grey_is_pillows_luma() -> None:
    grey = 255 * np.asarray(RandomGrayscale(1.0)(jax.random.key(0), jnp.asarray(UNIT[None])))[0]
    expected = np.asarray(Image.fromarray(PIXELS).convert("L"))
    assert np.abs(grey - expected[..., None]).max() <= 0.51
    assert np.array_equal(grey[..., 0], grey[..., 2])


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_solarising_is_pillows(channels: int) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = np.asarray(ImageOps.solarize(Image.fromarray(values)))
    images = jnp.stack([jnp.asarray(values / np.float32(255))] * channels, axis=-1)[None]
    result = 255 * np.asarray(Solarize(probability=1.0)(jax.random.key(0), images))[0]
    for channel in range(channels):
        np.testing.assert_allclose(result[..., channel], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ColorJitter(brightness=-0.1), "0 or above"),
        (lambda: ColorJitter(hue=0.6), "hue 0 to 0.5"),
        (lambda: ColorJitter(probability=1.2), "probability of 1.2"),
        (lambda: RandomGrayscale(-0.1), "probability of -0.1"),
        (lambda: Solarize(probability=2.0), "probability of 2.0"),
    ],
)
def test_impossible_settings_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
