"""Letters, dust and seams: each descriptor against SciPy's morphology, or a plain loop."""

import numpy as np
import pytest
import scipy.ndimage

from examine_jax.quality.descriptors.layout import seam_share
from examine_jax.quality.descriptors.objects import dark_speck_share, light_object_share

RANDOM = np.random.default_rng(3)


def _texture(shape: tuple[int, int] = (48, 56)) -> np.ndarray:
    smooth = scipy.ndimage.gaussian_filter(RANDOM.normal(size=shape), 2)
    return np.clip(np.rint(120 + 200 * smooth), 0, 255).astype(np.int16)


def _with_objects() -> np.ndarray:
    grey = _texture()
    grey[6:14, 8:11] = 240  # a stroke
    grey[30:33, 20:23] = 10  # a speck
    grey[:, 40:42] = 15  # a hair
    return grey


def test_light_objects_are_scipys_flat_areas_and_edges() -> None:
    grey = _with_objects()
    around = np.ones((3, 3))
    highest = scipy.ndimage.maximum_filter(grey, footprint=around)
    lowest = scipy.ndimage.minimum_filter(grey, footprint=around)
    flat = (highest - lowest <= 8) & (grey >= 180)
    flat[[0, -1]] = flat[:, [0, -1]] = False  # the border's surroundings are not known
    near = scipy.ndimage.binary_dilation(flat, np.ones((5, 5)))
    across = np.abs(grey[1:-1, 2:] - grey[1:-1, :-2])
    down = np.abs(grey[2:, 1:-1] - grey[:-2, 1:-1])
    expected = ((np.maximum(across, down) > 50) & near[1:-1, 1:-1]).mean()
    assert expected > 0
    assert light_object_share(grey) == pytest.approx(expected)


def test_specks_are_darker_than_scipys_closings_by_lines() -> None:
    grey = _with_objects()
    small = grey.reshape(24, 2, 28, 2).sum(axis=(1, 3)) >> 2
    row = np.zeros((5, 5), bool)
    row[2] = True
    lines = (row, row.T, np.eye(5, dtype=bool), np.eye(5, dtype=bool)[::-1])
    padded = np.pad(small, 8, mode="edge")
    closed = np.min([scipy.ndimage.grey_closing(padded, footprint=line) for line in lines], axis=0)
    specks = closed[8:-8, 8:-8] - small > 60
    assert specks.any()
    assert dark_speck_share(grey) == pytest.approx(specks.mean(), abs=1e-12)
    coloured = np.where(np.arange(56) < 21, 60, 10) * np.ones((48, 1), np.uint8)
    coloured = coloured.astype(np.uint8)
    grey_there = coloured.reshape(24, 2, 28, 2).sum(axis=(1, 3), dtype=int) >> 2 < 40
    expected = (specks & grey_there).mean()
    assert dark_speck_share(grey, coloured) == pytest.approx(expected, abs=1e-12)


def test_a_hair_is_no_speck() -> None:
    grey = np.full((48, 48), 150, np.int16)
    grey[:, 20:23] = 20
    assert dark_speck_share(grey) == 0
    grey[:, 20:23] = 150
    grey[20:24, 20:24] = 20
    assert dark_speck_share(grey) == pytest.approx(4 / 24**2)


def _plain_seam(grey: np.ndarray) -> float:
    found = 0.0
    for turned in (grey.astype(int), grey.T.astype(int)):
        steps = np.abs(turned[1:] - turned[:-1])
        shares = []
        for place in range(2, len(steps) - 2):
            larger = 0
            for column in range(steps.shape[1]):
                before = max(steps[place - 2, column], steps[place - 1, column])
                after = max(steps[place + 1, column], steps[place + 2, column])
                larger += steps[place, column] > max(before, after) and min(before, after) > 2
            shares.append(larger / steps.shape[1])
        shares.sort()
        found = max(found, shares[-1] - shares[-4])
    return found


def test_a_seam_stands_out_and_blocks_and_frames_do_not() -> None:
    texture = RANDOM.integers(90, 150, (64, 64)).astype(np.int16)
    assert seam_share(texture) == pytest.approx(_plain_seam(texture))
    seam = texture.copy()
    seam[30:] += 40
    assert seam_share(seam) == pytest.approx(_plain_seam(seam))
    assert seam_share(seam) > 2 * seam_share(texture)
    assert seam_share(seam.T) == seam_share(seam)
    blocks = texture + 40 * (np.arange(64) // 8 % 2)[:, None].astype(np.int16)
    frame = texture.copy()
    frame[:9] = 0
    for clean in (blocks, frame):
        assert seam_share(clean) < 0.25


@pytest.mark.parametrize("function", [seam_share, light_object_share, dark_speck_share])
@pytest.mark.parametrize("shape", [(1, 1), (7, 40), (10, 10), (9, 300), (17, 19)])
def test_small_and_constant_pictures(function, shape: tuple[int, int]) -> None:  # type: ignore
    for picture in (np.zeros(shape, np.int16), np.full(shape, 255, np.int16)):
        assert function(picture) == 0
    assert 0 <= function(RANDOM.integers(0, 256, shape).astype(np.int16)) <= 1
