import dataclasses

import numpy as np
import pytest

from examine_jax.images import GaussianCorruption, corrupt

RECORDED_LEVEL = [1.0, 0.3, 0.1, 0.5]
RECORDED_PIXELS = [
    [249, 255, 170, 192, 255, 255],
    [138, 255, 255, 62, 224, 194],
    [134, 28, 211, 84, 144, 61],
    [112, 204, 255, 41, 155, 0],
]


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(40, 160, (60, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("spread", ["variance", "standard_deviation"])
def test_noise_has_the_papers_mean_and_spread(spread):
    pixels = np.full((8, 64, 64, 3), 102, np.uint8)  # m = 0.4
    corruption = GaussianCorruption(
        levels=(0.1, 0.3, 0.5, 1.0), portion=1.0, spread=spread, clip=False
    )
    corrupted, level = corrupt(pixels, corruption, seed=3)
    assert corrupted.dtype == np.float32
    for image, delta in zip(corrupted, level):
        noise = image.astype(np.float64) - 0.4
        deviation = np.sqrt(delta * 0.4) if spread == "variance" else delta * 0.4
        standard_error = deviation / np.sqrt(noise.size)
        assert abs(noise.mean() - delta) < 5 * standard_error
        assert abs(noise.std() - deviation) < 5 * standard_error


def test_the_mean_of_the_data_set_may_be_named(pixels):
    ours, _ = corrupt(pixels, GaussianCorruption(), seed=1)
    same, _ = corrupt(pixels, GaussianCorruption(), seed=1, mean=float(np.mean(pixels / 255)))
    other, _ = corrupt(pixels, GaussianCorruption(), seed=1, mean=0.9)
    np.testing.assert_array_equal(ours, same)
    assert (ours != other).any()


def test_the_clipped_result_is_the_unclipped_one_as_an_image_file_keeps_it(pixels):
    clipped, level = corrupt(pixels, GaussianCorruption(), seed=5)
    free, level_again = corrupt(pixels, GaussianCorruption(clip=False), seed=5)
    assert clipped.dtype == np.uint8
    assert free.max() > 1
    assert free.min() < 0
    np.testing.assert_array_equal(level, level_again)
    np.testing.assert_array_equal(clipped, np.rint(np.clip(free, 0, 1) * 255))


@pytest.mark.parametrize(
    ("images", "portion", "levels", "counts"),
    [
        (500, 0.8, (0.1, 0.3, 0.5, 1.0), {0: 100, 0.1: 100, 0.3: 100, 0.5: 100, 1.0: 100}),
        (500, 1.0, (0.0, 0.1, 0.3, 0.5, 1.0), {0: 100, 0.1: 100, 0.3: 100, 0.5: 100, 1.0: 100}),
        (160, 0.375, (0.1, 0.3, 0.5, 1.0), {0: 100, 0.1: 15, 0.3: 15, 0.5: 15, 1.0: 15}),
        (10, 0.7, (0.2, 0.4), {0: 3, 0.2: 4, 0.4: 3}),
        (3, 0.0, (1.0,), {0: 3}),
        (1, 1.0, (0.5, 1.0), {0.5: 1}),
    ],
)
def test_levels_are_spread_evenly_over_the_portion(images, portion, levels, counts):
    pixels = np.full((images, 2, 2, 1), 100, np.uint8)
    _, level = corrupt(pixels, GaussianCorruption(levels=levels, portion=portion), seed=0)
    assert dict(zip(*np.unique(level, return_counts=True))) == counts


def test_images_left_out_are_untouched_and_the_input_stays(pixels):
    before = pixels.copy()
    corrupted, level = corrupt(pixels, GaussianCorruption(portion=0.5), seed=2)
    np.testing.assert_array_equal(corrupted[level == 0], pixels[level == 0])
    assert all((corrupted[i] != pixels[i]).any() for i in np.flatnonzero(level))
    np.testing.assert_array_equal(pixels, before)
    assert (level == 0).sum() == 30


def test_the_seed_decides_everything(pixels):
    first, first_level = corrupt(pixels, GaussianCorruption(), seed=7)
    again, again_level = corrupt(pixels, GaussianCorruption(), seed=7)
    other, other_level = corrupt(pixels, GaussianCorruption(), seed=8)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first_level, again_level)
    assert (first_level != other_level).any()
    assert (first != other).any()


def test_an_images_draws_do_not_depend_on_the_others(pixels):
    corruption = GaussianCorruption(levels=(0.3,), portion=1.0, clip=False)
    whole, _ = corrupt(pixels, corruption, seed=11, mean=0.5)
    some, _ = corrupt(pixels[:7], corruption, seed=11, mean=0.5)
    changed = pixels.copy()
    changed[:6] = 0
    others, _ = corrupt(changed, corruption, seed=11, mean=0.5)
    np.testing.assert_array_equal(whole[:7], some)
    np.testing.assert_array_equal(whole[6:], others[6:])


def test_levels_are_scaled_versions_of_the_same_draws(pixels):
    low, _ = corrupt(
        pixels, GaussianCorruption(levels=(0.25,), portion=1.0, clip=False), seed=4, mean=0.5
    )
    high, _ = corrupt(
        pixels, GaussianCorruption(levels=(1.0,), portion=1.0, clip=False), seed=4, mean=0.5
    )
    clean = pixels / np.float32(255)
    np.testing.assert_allclose((high - clean - 1) / 2, low - clean - 0.25, atol=1e-6)


def test_images_do_not_share_their_noise():
    pixels = np.full((6, 32, 32, 3), 128, np.uint8)
    corrupted, _ = corrupt(
        pixels, GaussianCorruption(levels=(0.5,), portion=1.0, clip=False), seed=0
    )
    correlation = np.corrcoef(corrupted.reshape(6, -1))
    assert np.abs(correlation - np.eye(6)).max() < 0.1


def test_draws_equal_the_recorded_ones():
    # Recorded once; another platform or numpy that gave others would make runs that cannot be
    # repeated.
    corrupted, level = corrupt(
        np.full((4, 1, 2, 3), 100, np.uint8), GaussianCorruption(portion=1.0), seed=2024
    )
    np.testing.assert_array_equal(level, RECORDED_LEVEL)
    np.testing.assert_array_equal(corrupted.reshape(4, 6), RECORDED_PIXELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": ()}, "at least one noise level"),
        ({"levels": (-0.1,)}, "none below 0"),
        ({"levels": (float("nan"),)}, "noise level"),
        ({"portion": 1.5}, "portion=1.5"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(GaussianCorruption(), **change)


def test_arguments_out_of_range_are_refused(pixels):
    with pytest.raises(ValueError, match="seed=-1"):
        corrupt(pixels, GaussianCorruption(), seed=-1)
    with pytest.raises(ValueError, match="mean=128"):
        corrupt(pixels, GaussianCorruption(), seed=0, mean=128.0)
