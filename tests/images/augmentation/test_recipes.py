"""Recipes: shapes, types, draws, and hashable values."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.images import augmentation
from examine_jax.images.augmentation import (
    AUGMENTATIONS,
    Compose,
    Flip,
    GaussianBlur,
    QuarterTurns,
    RandomResizedCrop,
    Solarize,
    TwoViews,
)

# Each program runs once, so it is compiled without optimisation.
quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

VIEWS = [
    "byol_views",
    "vicreg_views",
    "simclr_views",
    "simsiam_views",
    "low_resource_released_views",
]
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize("recipe", ["byol_views", "simsiam_views"])
def test_two_different_views_of_each_image_reproducible_from_the_key(recipe: str) -> None:
    views = getattr(augmentation, recipe)(16)
    views = TwoViews(
        Compose((views.first, QuarterTurns())), Compose((views.second, QuarterTurns()))
    )
    made = quickly(views)
    first, second = made(jax.random.key(0), IMAGES)
    assert first.shape == second.shape == (6, 16, 16, 3)
    assert first.dtype == second.dtype == jnp.float32
    for view in (first, second):
        assert float(view.min()) >= 0
        assert float(view.max()) <= 1
    assert not any(np.array_equal(a, b) for a, b in zip(first, second))
    again = made(jax.random.key(0), IMAGES)
    assert np.array_equal(first, again[0])
    assert np.array_equal(second, again[1])
    other = made(jax.random.key(1), IMAGES)
    assert not np.array_equal(first, other[0])


def test_one_view_for_masked_autoencoding() -> None:
    view = quickly(Compose((*augmentation.mae_crop(16).steps, QuarterTurns())))(
        jax.random.key(0), IMAGES
    )
    assert view.shape == (6, 16, 16, 3)
    assert view.dtype == jnp.float32


def test_equal_pipelines_draw_independently_and_give_what_each_gives_alone() -> None:
    view = Compose((RandomResizedCrop(8), Flip()))
    key = jax.random.key(5)
    first, second = quickly(TwoViews(view, view))(key, IMAGES)
    keys, alone = jax.random.split(key), quickly(view)
    np.testing.assert_allclose(first, alone(keys[0], IMAGES), atol=1e-6)
    np.testing.assert_allclose(second, alone(keys[1], IMAGES), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 5])
def test_recipes_take_any_number_of_channels(channels: int) -> None:
    images = np.zeros((2, 16, 16, channels), np.uint8)
    first, _ = quickly(augmentation.byol_views(12))(jax.random.key(0), images)
    assert first.shape == (2, 12, 12, channels)


def test_bytes_without_any_step_become_floats() -> None:
    assert np.array_equal(
        quickly(Compose(()))(jax.random.key(0), IMAGES),
        quickly(lambda pixels: pixels.astype(jnp.float32) / 255)(IMAGES),
    )


def test_the_released_low_resource_code_sees_a_tenth_of_each_image() -> None:
    crop, _, jitter, *_, solarize = augmentation.low_resource_released_views(224).first.steps
    assert (crop.size, crop.scale) == (224, (0.08, 0.1))
    assert jitter == augmentation.ColorJitter(0.4, 0.4, 0.2, 0.1, probability=1.0)
    assert solarize == Solarize(probability=0.1)


def test_byols_views_differ_in_blur_and_solarising_alone() -> None:
    views = augmentation.byol_views(32)
    assert views.first.steps[:4] == views.second.steps[:4]
    assert views.first.steps[4:] == (GaussianBlur(probability=1.0),)
    assert views.second.steps[4:] == (GaussianBlur(probability=0.1), Solarize(probability=0.2))


def test_recipes_are_hashable_values_of_known_classes() -> None:
    def classes(value):
        yield type(value)
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            for item in inner if isinstance(inner, tuple) else (inner,):
                if dataclasses.is_dataclass(item):
                    yield from classes(item)

    for name in VIEWS:
        recipe = getattr(augmentation, name)(16)
        assert recipe == getattr(augmentation, name)(16)
        assert hash(recipe) == hash(getattr(augmentation, name)(16))
        assert set(classes(recipe)) <= set(AUGMENTATIONS)
