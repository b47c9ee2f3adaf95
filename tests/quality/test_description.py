"""Each descriptor equals another library's, or a plain loop's, with and without colour."""

import colorsys
import math
import pickle

import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import skimage.filters
import skimage.measure

from examine_jax.quality import DESCRIPTORS, describe
from examine_jax.quality.descriptors import colour, detail, layout, perceptual_hash, thumbnail, tone

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (32, 41)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (32, 40, 3)).astype(np.uint8)
IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])


def value(pixels: np.ndarray, name: str) -> float:
    return float(describe(pixels)[DESCRIPTORS.index(name)])


def inner(filtered: np.ndarray) -> np.ndarray:
    return filtered[1:-1, 1:-1]


def test_laplacian_variance_is_scipys() -> None:
    laplacian = inner(scipy.ndimage.laplace(GREY.astype(float)))
    assert detail.laplacian_variance(GREY) == pytest.approx(laplacian.var(), rel=1e-12)


def test_motion_lowers_detail_in_its_direction_alone() -> None:
    grey = GREY.astype(float)
    masks = [np.zeros((3, 3)) for _ in range(4)]
    for mask, ends in zip(
        masks, [((1, 0), (1, 2)), ((0, 1), (2, 1)), ((0, 0), (2, 2)), ((0, 2), (2, 0))]
    ):
        mask[1, 1] = -2
        for end in ends:
            mask[end] = 1
    squares = [(inner(scipy.ndimage.correlate(grey, mask)) ** 2).mean() for mask in masks]
    variance, least = detail.laplacian_and_least_directional_variance(GREY)
    assert variance == detail.laplacian_variance(GREY)
    assert least == pytest.approx(min(squares), rel=1e-12)
    moved = np.rint(scipy.ndimage.uniform_filter1d(grey, 5, axis=1)).astype(np.uint8)
    assert detail.laplacian_and_least_directional_variance(moved)[1] < 0.1 * least


def test_edge_strength_is_numpys_gradient() -> None:
    down, across = np.gradient(GREY.astype(float))
    expected = np.quantile(inner(abs(across) + abs(down)), 0.99, method="inverted_cdf")
    assert detail.edge_strength(GREY) == pytest.approx(expected)


def test_empty_blocks_are_those_of_one_tone() -> None:
    picture = GREY.copy()
    picture[:, :16] = 100
    assert layout.empty_share(picture) == pytest.approx(2 / 5)


def test_a_seam_is_a_straight_step() -> None:
    seamed = GREY.astype(np.int16) // 8
    seamed[16:] += 60
    assert layout.straight_step(seamed) > 3 * layout.straight_step(GREY.astype(np.int16) // 8)


def test_tenengrad_is_scipys_sobel() -> None:
    grey = GREY.astype(float)
    across, down = (inner(scipy.ndimage.sobel(grey, axis)) / 8 for axis in (0, 1))
    assert detail.tenengrad(GREY) == pytest.approx((across**2 + down**2).mean(), rel=1e-12)


def test_noise_is_immerkaers_and_finds_the_noise_that_was_added() -> None:
    filtered = inner(scipy.ndimage.convolve(GREY.astype(float), IMMERKAER))
    mask = detail.noise_mask(GREY)
    np.testing.assert_array_equal(mask, filtered)
    expected = math.sqrt(math.pi / 2) / 6 * np.abs(filtered).mean()
    assert detail.noise_level(mask) == pytest.approx(expected, rel=1e-12)
    ramp = np.add.outer(np.arange(200), np.arange(200)) * 0.4 + 40
    noisy = np.rint(ramp + RANDOM.normal(0, 5, ramp.shape)).astype(np.uint8)
    assert detail.noise_level(detail.noise_mask(noisy)) == pytest.approx(5, rel=0.05)
    assert detail.noise_level(detail.noise_mask(np.rint(ramp).astype(np.uint8))) < 0.6


def test_noise_by_block_is_a_plain_loops() -> None:
    mask = detail.noise_mask(GREY)
    expected = sorted(
        detail.noise_level(mask[row : row + 8, column : column + 8])
        for row in range(0, 24, 8)
        for column in range(0, 32, 8)
    )
    np.testing.assert_allclose(detail.noise_by_block(mask), expected, rtol=1e-12)


@pytest.mark.parametrize("shift", [0, 3])
def test_blocks_of_8_are_found_wherever_they_start(shift: int) -> None:
    blocks = np.kron(RANDOM.integers(0, 256, (8, 8)), np.ones((8, 8), np.int64)).astype(np.uint8)
    assert detail.block_edges(blocks[shift:, shift:]) > 20
    assert detail.block_edges(GREY) < 1.5
    # One straight edge is no grid.
    edge = np.zeros((32, 32), np.uint8)
    edge[:, 16:] = 255
    assert detail.block_edges(edge) == 1


def test_block_edges_of_black_and_white_are_exact_in_tall_pictures() -> None:
    board = np.indices((600, 32)) // 8
    picture = np.where(board.sum(axis=0) % 2, 255, 0).astype(np.uint8)
    # All steps are at one place, and each is 255.
    assert detail.block_edges(picture) == (255 + 0.25) / 0.25


def test_half_size_is_scikit_images_local_mean() -> None:
    means = skimage.measure.block_reduce(GREY[:, :40], 2, np.mean)
    np.testing.assert_array_equal(detail.half_size(GREY), np.floor(means))


def test_tones_are_numpys_and_scikit_images() -> None:
    counts = tone.histogram(GREY)
    assert tone.mean_level(counts) == pytest.approx(GREY.mean())
    assert tone.contrast(counts) == pytest.approx(GREY.std())
    assert tone.entropy(counts) == pytest.approx(skimage.measure.shannon_entropy(GREY))
    shares = (0.05, 0.5, 0.95)
    assert tone.quantiles(counts, shares) == list(np.quantile(GREY, shares, method="inverted_cdf"))


def test_colours_are_those_of_hasler_and_suesstrunk() -> None:
    red, green, blue = COLOUR.astype(np.int16).transpose(2, 0, 1)
    first, second = red - green, (red + green) / 2 - blue
    expected = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    assert colour.colour_differences(red, green, blue) == pytest.approx(
        (first.mean(), second.mean(), expected)
    )


def test_saturation_and_hues_are_those_of_hsv() -> None:
    red, green, blue = np.ascontiguousarray(COLOUR.transpose(2, 0, 1))
    highest, lowest = COLOUR.max(axis=2), COLOUR.min(axis=2)
    hsv = skimage.color.rgb2hsv(COLOUR)
    np.testing.assert_allclose(colour.saturation(highest, lowest), hsv[..., 1] * 255, atol=1)
    coloured = hsv[highest.astype(int) - lowest >= 40][:, 0]
    expected = np.histogram(coloured * 12, np.arange(13))[0] / red.size
    found = colour.hue_shares(red, green, blue, highest, lowest)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert sum(found) == pytest.approx(len(coloured) / red.size)


@pytest.mark.parametrize("range_", range(12))
def test_each_hue_counts_in_its_range(range_: int) -> None:
    pixel = np.array(colorsys.hsv_to_rgb((range_ + 0.5) / 12, 1, 1)) * 255
    picture = np.broadcast_to(pixel.astype(np.uint8), (16, 16, 3))
    shares = [value(picture, name) for name in colour.HUES]
    assert shares == list(np.eye(12)[range_])


def test_block_means_are_scikit_images() -> None:
    expected = skimage.measure.block_reduce(GREY[:, :40], 8, np.mean)
    np.testing.assert_allclose(layout.block_means(GREY), expected)


def test_thumbnails_are_cells_means_and_survive_packing() -> None:
    small = thumbnail.thumbnail(GREY[:, :40])
    means = skimage.measure.block_reduce(GREY[:, :40], (4, 5), np.mean)
    np.testing.assert_array_equal(small, np.floor(means))
    np.testing.assert_array_equal(thumbnail.unpack(thumbnail.pack(small)[None])[0], small.ravel())
    white = np.full((8, 8), 255, np.uint8)
    np.testing.assert_array_equal(thumbnail.unpack(thumbnail.pack(white)[None])[0], [255] * 64)


def test_a_band_in_any_direction_is_dark() -> None:
    rows, columns = np.indices((16, 16))
    for angle in np.linspace(0, np.pi, 8, endpoint=False):
        across = rows * np.cos(angle) + columns * np.sin(angle)
        band = np.abs(across - across.mean()) < 1
        assert layout.dark_band(np.where(band, 50.0, 100.0)) > 25
    assert layout.dark_band(np.full((16, 16), 100.0)) == 0


def crossing_band_by_loops(means: np.ndarray) -> float:
    rows, columns = np.indices(means.shape)
    lines = []
    for turn in range(8):
        angle = np.pi * turn / 8
        place = np.rint(rows * np.cos(angle) + columns * np.sin(angle))
        lines.append([means[place == at] for at in np.unique(place)])
    longest = max(len(line) for parallel in lines for line in parallel)
    found = -np.inf
    for parallel in lines:
        for number, line in enumerate(parallel):
            before, after = (
                [other.mean() for other in side if 4 * len(other) >= longest]
                for side in (parallel[:number], parallel[number + 1 :])
            )
            if 2 * len(line) >= longest and before and after:
                level = line.max() + (line.max() - line.min()) / 2
                found = max(found, min(max(before), max(after)) - level)
    return found


@pytest.mark.parametrize("shape", [(3, 3), (3, 11), (12, 4), (14, 14)])
def test_a_crossing_band_is_what_plain_loops_find(shape: tuple[int, int]) -> None:
    for means in (RANDOM.normal(100, 30, shape), RANDOM.integers(0, 4, shape) * 60.0):
        assert layout.crossing_band(means) == pytest.approx(crossing_band_by_loops(means))


def test_a_band_from_edge_to_edge_crosses_but_a_spot_a_corner_and_a_frame_do_not() -> None:
    rows, columns = np.indices((16, 16))
    for angle in np.linspace(0, np.pi, 8, endpoint=False):
        across = rows * np.cos(angle) + columns * np.sin(angle)
        band = np.abs(across - across.mean()) < 2
        assert layout.crossing_band(np.where(band, 50.0, 100.0)) == 50
    spot = np.hypot(rows - 7, columns - 8) < 5
    corner = rows + columns < 12
    frame = np.minimum(np.minimum(rows, columns), np.minimum(15 - rows, 15 - columns)) < 3
    side = columns < 5
    for dark in (spot, corner, frame, side):
        assert layout.crossing_band(np.where(dark, 50.0, 100.0)) <= 0
    assert layout.crossing_band(np.where(side, 50.0, 100.0)[:2]) == 0


def test_a_copy_has_nearly_the_same_hash_and_another_picture_has_not() -> None:
    smooth = scipy.ndimage.gaussian_filter(RANDOM.normal(size=(2, 90, 90)), (0, 12, 12))
    pictures = np.rint(128 + 900 * smooth / np.abs(smooth).max() / 10).astype(np.int16)
    brighter = pictures[0][::2, ::2] + 20
    hashes = np.array([perceptual_hash.difference_hash(x) for x in (*pictures, brighter)])
    assert perceptual_hash.differing_bits(hashes[:1], hashes[2:])[0] <= 3
    assert perceptual_hash.differing_bits(hashes[:1], hashes[1:2])[0] > 10


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 1, 3), (2, 9, 3), (9, 2, 1), (1, 700, 3), (193, 8, 1), (400, 500, 3)]
)
@pytest.mark.parametrize("level", [0, 255, None])
def test_every_picture_has_finite_descriptors(
    shape: tuple[int, int, int], level: int | None
) -> None:
    pixels = (
        RANDOM.integers(0, 256, shape).astype(np.uint8)
        if level is None
        else np.full(shape, level, np.uint8)
    )
    before = pixels.copy()
    described = describe(pixels)
    assert described.shape == (len(DESCRIPTORS),)
    assert described.dtype == np.float64
    assert np.isfinite(described).all()
    np.testing.assert_array_equal(pixels, before)


def test_a_grey_picture_is_described_alike_with_one_channel_and_with_three() -> None:
    grey = RANDOM.integers(0, 256, (40, 50, 1)).astype(np.uint8)
    np.testing.assert_array_equal(describe(grey), describe(np.repeat(grey, 3, axis=2)))


def test_memory_layout_does_not_matter() -> None:
    np.testing.assert_array_equal(
        describe(COLOUR[::-1, ::2]), describe(np.ascontiguousarray(COLOUR[::-1, ::2]))
    )


def test_large_pictures_are_read_in_part() -> None:
    pixels = np.tile(COLOUR, (100, 80, 1))
    assert value(pixels, "laplacian_variance") == pytest.approx(
        value(COLOUR, "laplacian_variance"), rel=0.2
    )
    assert value(pixels, "brightness") == pytest.approx(COLOUR.mean(), rel=0.1)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8)],
)
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises((ValueError, TypeError)):
        describe(pixels)


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        describe(np.zeros((0, 4, 3), np.uint8))


def test_describe_is_picklable() -> None:
    assert pickle.loads(pickle.dumps(describe)) is describe  # noqa: S301
