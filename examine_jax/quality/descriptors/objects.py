"""Things that are drawn or lie on the picture: letters, markers, dust."""

import numpy as np

from examine_jax.common.shapes import Int, Shaped, UInt8
from examine_jax.quality.descriptors.colour import COLOURED
from examine_jax.quality.descriptors.detail import half_size

_FLAT = 8  # levels within 3 x 3 pixels
_LIGHT = 180
_HARD = 50  # levels over two pixels
_DARKER = 60  # levels
_REACH = 2  # pixels to either side: half of a line of five
_LINES = ((0, 1), (1, 0), (1, 1), (1, -1))


def light_object_share(grey: Int[np.ndarray, "h w"]) -> float:
    """The share of pixels that are hard edges beside a flat, light area: letters, markers, clips.

    Flat is a pixel that differs by at most 8 levels from its neighbours, light one of 180 or more.
    An edge is a step of more than 50 levels over two pixels; beside is within two pixels. Tissue
    may be light, and it may have edges, but its light parts are not flat up to the edge. Pictures
    with a side below 8 get 0.

    Source: letters as flat regions between strong edges, as in Epshtein, Ofek and Wexler,
    "Detecting text in natural scenes with stroke width transform", CVPR 2010.
    """
    if min(grey.shape) < 8:
        return 0.0
    height, width = grey.shape
    # Rows one after another, on which filters are shifts; what wraps lands in the outer columns.
    line = grey.astype(np.uint8).ravel()
    light = line[width + 1 : -width - 1] >= _LIGHT
    if not light.any():
        return 0.0
    levels = _around(line, width, 1, np.maximum) - _around(line, width, 1, np.minimum)
    flat = np.zeros((height + 2, width), bool)
    flat.ravel()[2 * width + 1 : -2 * width - 1] = light & (levels <= _FLAT)
    flat[:, [0, -1]] = False
    padded = np.zeros(flat.size + 4, bool)
    padded[2:-2] = flat.ravel()
    beside = _around(padded, width, 2, np.logical_or)
    steps = _steps(line, 1)[width - 1 : 1 - width] > _HARD
    steps |= _steps(line, width) > _HARD
    found = (steps & beside).reshape(height - 2, width)[:, 1:-1]
    return np.count_nonzero(found) / found.size


def dark_speck_share(
    grey: Int[np.ndarray, "h w"], channel_range: Shaped[np.ndarray, "h w"] | None = None
) -> float:
    """The share of pixels in small dark specks without colour: dust, black dots.

    At half the size, the picture is closed by lines of five pixels in four directions: what is
    darker than its surroundings and shorter than the line vanishes. Hairs and vessels vanish across
    but not along themselves, a speck in all directions. Counted are pixels that are more than 60
    levels darker than each of the four closings, and whose channels differ by less than 40 levels,
    if `channel_range` (highest less lowest) is given: pigment has colour. Pictures with a side
    below 16 get 0.

    Source: closings by line segments as in Lee et al., "DullRazor: a software approach to hair
    removal from images", Computers in Biology and Medicine 27(6), 1997; top-hat: Serra, "Image
    analysis and mathematical morphology", 1982.
    """
    if min(grey.shape) < 16:
        return 0.0
    small = half_size(grey).astype(np.uint8)
    if int(small.max()) - int(small.min()) <= _DARKER:
        return 0.0
    height, width = small.shape
    padded = _with_border(small)
    line, border = padded.ravel(), 2 * _REACH * (padded.shape[1] + 1)
    closed = np.full(line.size - 2 * border, 255, np.uint8)
    for row, column in _LINES:
        step = row * padded.shape[1] + column
        own = _along(_along(line, step, _REACH, np.maximum), step, _REACH, np.minimum)
        rest = border - 2 * _REACH * step
        np.minimum(closed, own[rest : rest + len(closed)], out=closed)
    specks = np.zeros(padded.shape, bool)
    inner = line[border:-border]
    # Closings are never below the picture, but for what wraps, which is in the border.
    specks.ravel()[border:-border] = closed - inner > _DARKER
    specks = specks[2 * _REACH :, 2 * _REACH :][:height, :width]
    if channel_range is not None:
        specks &= half_size(channel_range) < COLOURED
    return np.count_nonzero(specks) / small.size


def _with_border(small: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "p q"]:
    """The picture with its outermost pixels repeated, for two filters of a line."""
    border = 2 * _REACH
    height, width = small.shape
    padded = np.empty((height + 2 * border, width + 2 * border), np.uint8)
    padded[border:-border, border:-border] = small
    padded[border:-border, :border] = small[:, :1]
    padded[border:-border, -border:] = small[:, -1:]
    padded[:border] = padded[border]
    padded[-border:] = padded[-border - 1]
    return padded


def _along(
    line: Shaped[np.ndarray, " n"], step: int, reach: int, of: np.ufunc
) -> Shaped[np.ndarray, " rest"]:
    """Minimum, maximum or logical or over each entry and `reach` to either side, `step` apart.

    The first and the last reach * step entries are left out.
    """
    size = line.size - 2 * reach * step
    if reach == 2:  # of pairs of pairs
        pairs = of(line[:-step], line[step:])
        found = of(pairs[:size], pairs[2 * step : 2 * step + size])
        return of(found, line[4 * step :], out=found)
    found = of(line[:size], line[step : step + size])
    for number in range(2, 2 * reach + 1):
        of(found, line[number * step : number * step + size], out=found)
    return found


def _around(
    line: Shaped[np.ndarray, " n"], width: int, reach: int, of: np.ufunc
) -> Shaped[np.ndarray, " rest"]:
    """A ufunc of two over a square around each entry of a picture whose rows are joined."""
    return _along(_along(line, 1, reach, of), width, reach, of)


def _steps(line: UInt8[np.ndarray, " n"], step: int) -> UInt8[np.ndarray, " rest"]:
    """The difference of what is `step` entries before and after."""
    before, after = line[: -2 * step], line[2 * step :]
    return np.maximum(before, after) - np.minimum(before, after)
