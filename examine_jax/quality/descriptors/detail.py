"""Fine detail: sharpness, noise and block edges.

All functions take a grey picture [H, W] of integers, or several crops [M, H, W] that count as one
picture. Sums are of integers, so results do not depend on the machine.
"""

import functools
import math

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped

_BLOCK = 8  # a JPEG block's side
# The noise's deviation over the mean size of the mask's result, for normal noise.
_LEVEL = math.sqrt(math.pi / 2) / 6
# So many squares are summed at once: more, and BLAS starts threads, which wait for one another.
_SQUARES = 96 * 96


def laplacian_variance(grey: Shaped[np.ndarray, "*crops h w"]) -> float:
    """The variance of the Laplacian (4 neighbours): low for blurred pictures.

    The border's pixels are left out. A picture below 3 x 3 gets 0.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    if min(grey.shape[-2:]) < 3:
        return 0.0
    across, down = _second_differences(grey, 1, grey.shape[-1])
    return _variance(_inner(across + down, grey.shape))


def laplacian_and_least_directional_variance(
    grey: Shaped[np.ndarray, "*crops h w"],
) -> tuple[float, float]:
    """`laplacian_variance`, and the mean square of second differences where it is least.

    Of 4 directions: across, down and along both diagonals, whose steps are longer. Motion blurs in
    one direction only. A picture below 3 x 3 gets 0.

    Source: the directional parts of the modified Laplacian, Nayar and Nakagawa, "Shape from focus",
    IEEE PAMI 16(8), 1994.
    """
    if min(grey.shape[-2:]) < 3:
        return 0.0, 0.0
    shape, width = grey.shape, grey.shape[-1]
    differences = _second_differences(grey, 1, width, width + 1, width - 1)
    inner = [_inner(difference, shape) for difference in differences]
    laplacian = _inner(differences[0] + differences[1], shape)
    return _variance(laplacian), min(map(_sum_of_squares, inner)) / laplacian.size


def edge_strength(grey: Shaped[np.ndarray, "*crops h w"], share: float = 0.99) -> float:
    """The gradient that so large a share of the pixels does not exceed, in grey levels a pixel.

    Central differences, the sum of their sizes across and down.
    """
    if min(grey.shape[-2:]) < 3:
        return 0.0
    line, width = _signed(grey).ravel(), grey.shape[-1]
    across, down = line[2:] - line[:-2], line[2 * width :] - line[: -2 * width]
    steps = np.empty_like(line)
    inner = steps[width:-width]
    np.abs(across[width - 1 : 1 - width], out=inner)
    inner += np.abs(down, out=down)
    counts = np.cumsum(np.bincount(_inner(steps, grey.shape).ravel(), minlength=511))
    return float(np.searchsorted(counts, share * counts[-1])) / 2


def tenengrad(grey: Shaped[np.ndarray, "*crops h w"]) -> float:
    """The mean squared gradient by Sobel's filters, each divided by 8: low for blurred pictures.

    The border's pixels are left out. A picture below 3 x 3 gets 0.

    Source: Krotkov, "Focusing", International Journal of Computer Vision 1, 1988.
    """
    if min(grey.shape[-2:]) < 3:
        return 0.0
    line, width = _signed(grey).ravel(), grey.shape[-1]
    total = 0
    for along, across in ((1, width), (width, 1)):
        smooth = line[: -2 * across] + line[2 * across :]
        smooth += line[across:-across] << 1
        gradient = np.empty_like(line)
        inside = gradient[width + 1 : -width - 1]
        np.subtract(smooth[2 * along :], smooth[: -2 * along], out=inside)
        inner = _inner(gradient, grey.shape)
        total += _sum_of_squares(inner)
    return total / (64 * inner.size)


def noise_mask(grey: Shaped[np.ndarray, "*crops h w"]) -> Int[np.ndarray, "*crops p q"]:
    """The picture filtered by Immerkaer's mask [[1, -2, 1], [-2, 4, -2], [1, -2, 1]].

    It is 0 on constant pictures, ramps and straight edges along an axis. The border is left out.

    Source: Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996.
    """
    if min(grey.shape[-2:]) < 3:
        return _signed(grey)[..., 1:-1, 1:-1]
    line, width = _signed(grey).ravel(), grey.shape[-1]
    across = line[:-2] + line[2:]
    across -= line[1:-1] << 1
    down = np.empty_like(line)
    inside = down[width + 1 : -width - 1]
    np.add(across[: -2 * width], across[2 * width :], out=inside)
    inside -= across[width:-width] << 1
    return np.ascontiguousarray(_inner(down, grey.shape))


def noise_level(mask: Int[np.ndarray, "*crops h w"]) -> float:
    """The standard deviation of the noise in grey levels, from `noise_mask`'s result.

    Texture counts as noise. `noise_floor` is less misled by it.

    Source: Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996, equation 5.
    """
    if mask.size == 0:
        return 0.0
    return _LEVEL * int(np.add.reduce(np.abs(mask), axis=None, dtype=np.int64)) / mask.size


def noise_by_block(mask: Int[np.ndarray, "*crops h w"]) -> Float[np.ndarray, " blocks"]:
    """Immerkaer's noise level in each 8 x 8 block, ascending, from `noise_mask`'s result.

    A low quantile is the noise where the picture is flattest, so that texture does not count; a
    high one is the detail where it is sharpest. Pictures below 10 x 10 give one block.

    Source: the flattest blocks, as in Olsen, "Estimation of noise in images", CVGIP 55, 1993.
    """
    height, width = mask.shape[-2] // _BLOCK, mask.shape[-1] // _BLOCK
    if not height or not width:
        return np.array([noise_level(mask)])
    # A block's sum is below 64 * 8 * 255 = 130,560.
    inner = np.abs(mask[..., : height * _BLOCK, : width * _BLOCK])
    rows = inner.reshape(-1, _BLOCK, width * _BLOCK).sum(axis=1, dtype=np.int32)
    blocks = rows.reshape(-1, width, _BLOCK).sum(axis=2)
    return _LEVEL * np.sort(blocks, axis=None) / _BLOCK**2


def flat_share(mask: Int[np.ndarray, "*crops h w"]) -> float:
    """The share of pixels where `noise_mask`'s result is 0: high after compression, 0 in noise."""
    return 1 - np.count_nonzero(mask) / mask.size if mask.size else 1.0


def block_edges(grey: Shaped[np.ndarray, "*crops h w"]) -> float:
    """How much larger steps are at edges of 8 x 8 blocks than elsewhere: 1 if there are no blocks.

    The mean absolute step from pixel to pixel, for each of the 8 places that the grid can have: the
    largest over the mean of the others. The smaller figure of rows and columns counts, so that one
    straight edge makes no grid. Crops must start at multiples of 8.

    Source: the blocking measure of Wang, Sheikh and Bovik, "No-reference perceptual quality
    assessment of JPEG compressed images", ICIP 2002, at any place of the grid.
    """
    grey = _signed(grey)
    if min(grey.shape[-2:]) < 2 * _BLOCK:
        return 1.0
    return min(
        _grid_strength(np.abs(grey[..., 1:] - grey[..., :-1]).reshape(-1, grey.shape[-1] - 1)),
        _grid_strength(np.abs(grey[..., 1:, :] - grey[..., :-1, :]).swapaxes(-1, -2)),
    )


def _grid_strength(steps: Int[np.ndarray, "*rows steps"]) -> float:
    width = steps.shape[-1]
    # Exact for fewer than 8 million steps at a place.
    by_place = np.add.reduce(steps, axis=tuple(range(steps.ndim - 1)), dtype=np.int32)
    padded = np.zeros(-(-width // _BLOCK) * _BLOCK)
    padded[:width] = by_place
    means = padded.reshape(-1, _BLOCK).sum(axis=0) / (_places(width) * (steps.size // width))
    largest = means.max()
    others = (means.sum() - largest) / (_BLOCK - 1)
    # A quarter of a grey level: rounding alone makes no grid.
    return float((largest + 0.25) / (others + 0.25))


@functools.lru_cache(maxsize=64)
def _places(width: int) -> Int[np.ndarray, "8"]:
    """How many of so many steps are at each of the 8 places."""
    return np.bincount(np.arange(width) % _BLOCK, minlength=_BLOCK)


def half_size(grey: Shaped[np.ndarray, "*crops h w"]) -> Int[np.ndarray, "*crops p q"]:
    """The picture at half its size: sums of 2 x 2 pixels, rounded down to grey levels."""
    grey = _signed(grey)
    height, width = (side // 2 * 2 for side in grey.shape[-2:])
    # Rows first: their sums are adjacent in memory.
    rows = grey[..., :height:2, :width] + grey[..., 1:height:2, :width]
    sums = rows[..., ::2] + rows[..., 1::2]
    sums >>= 2
    return sums


def _signed(grey: Shaped[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """As int16, which holds sums of 16 pixels with either sign. Immerkaer's mask needs 8."""
    return grey if grey.dtype == np.int16 else grey.astype(np.int16)


def _second_differences(
    grey: Shaped[np.ndarray, "..."], *steps: int
) -> list[Int[np.ndarray, " pixels"]]:
    """Each pixel's neighbours, so many pixels before and after, less twice itself.

    The rows of all crops are joined to one line: shifts of it are fast. What wraps lies in the
    border, which `_inner` leaves out.
    """
    line = _signed(grey).ravel()
    twice = line << 1
    found = []
    for step in steps:
        differences = np.empty_like(line)
        inside = differences[step:-step]
        np.add(line[: -2 * step], line[2 * step :], out=inside)
        inside -= twice[step:-step]
        found.append(differences)
    return found


def _inner(
    line: Int[np.ndarray, " pixels"], shape: tuple[int, ...]
) -> Int[np.ndarray, "*crops p q"]:
    """A line as crops again, without their borders."""
    return line.reshape(shape)[..., 1:-1, 1:-1]


def _sum_of_squares(values: Int[np.ndarray, "..."]) -> int:
    # Whole numbers below 2^53: exact in any order, so by any BLAS.
    wide = values.astype(np.float64).ravel()
    parts = (wide[start : start + _SQUARES] for start in range(0, wide.size, _SQUARES))
    return sum(int(part @ part) for part in parts)


def _variance(values: Int[np.ndarray, "..."]) -> float:
    if not values.size:
        return 0.0
    total = int(np.add.reduce(values, axis=None, dtype=np.int64))
    # Of whole numbers: exact.
    return (_sum_of_squares(values) * values.size - total**2) / values.size**2
