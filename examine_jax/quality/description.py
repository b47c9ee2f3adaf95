"""All descriptors of one picture, at about the price of decoding it."""

import math

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped, UInt8
from examine_jax.quality.descriptors.colour import (
    HUES,
    black_share,
    colour_differences,
    hue_shares,
    saturation,
    tissue_share,
)
from examine_jax.quality.descriptors.detail import (
    block_edges,
    edge_strength,
    flat_share,
    half_size,
    laplacian_and_least_directional_variance,
    laplacian_variance,
    noise_by_block,
    noise_level,
    noise_mask,
    tenengrad,
)
from examine_jax.quality.descriptors.layout import (
    block_means,
    centre_minus_border,
    coherence,
    crossing_band,
    dark_band,
    empty_share,
    middle,
    seam_share,
    straight_step,
)
from examine_jax.quality.descriptors.objects import dark_speck_share, light_object_share
from examine_jax.quality.descriptors.perceptual_hash import difference_hash
from examine_jax.quality.descriptors.thumbnail import PACKED, pack, thumbnail
from examine_jax.quality.descriptors.tone import (
    clipped_share,
    contrast,
    entropy,
    histogram,
    mean_level,
    overexposed_share,
    quantiles,
    underexposed_share,
)

DESCRIPTORS: tuple[str, ...] = (
    "height",
    "width",
    "laplacian_variance",
    "least_directional_variance",
    "laplacian_variance_quarter",
    "tenengrad",
    "edge_strength",
    "noise_level",
    "noise_floor",
    "detail_peak",
    "flat_share",
    "block_edges",
    "colour_noise",
    "brightness",
    "brightness_p5",
    "brightness_p50",
    "brightness_p95",
    "contrast",
    "entropy",
    "overexposed_share",
    "clipped_share",
    "underexposed_share",
    "contrast_blurred",
    "darkest_block",
    "lightest_block",
    "coherence",
    "dark_band",
    "crossing_band",
    "centre_minus_border",
    "straight_step",
    "seam_share",
    "empty_share",
    "light_object_share",
    "dark_speck_share",
    "saturation",
    "saturation_p95",
    "saturation_p99",
    "red_green",
    "yellow_blue",
    "colourfulness",
    "tissue_share",
    "black_share",
    *HUES,
    "hash_first",
    "hash_second",
    *(f"thumbnail_{number}" for number in range(PACKED)),
)

# Tones, colours and layout are read from every s-th pixel, so that at most so many are read.
_COARSE_PIXELS = 128 * 128
# Colours vary slowly: every other pixel of every other row is enough, if so many are left.
_COLOUR_PIXELS = 32 * 32
# Detail is read from the whole picture up to this side, and from 3 x 3 crops of larger ones.
_WHOLE_SIDE = 192
_CROP = 64


def describe(pixels: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, " k"]:
    """The descriptors of one picture, in the order of `DESCRIPTORS`.

    Detail (sharpness, noise, block edges) is read at full resolution: from all of a picture of up
    to 192 x 192, from 9 crops of 64 x 64 on a grid of a larger one. Tones, colours and layout are
    read from every s-th pixel of every s-th row, at most 16,384 in all, colours from a quarter of
    these. So memory and cost do not
    grow with the picture. Nothing is drawn at random, and nothing depends on the machine.

    Args:
        pixels: uint8 [H, W, 1] (grey) or [H, W, 3] (red, green, blue), as decoded. Grey pictures
            have no saturation, hues or colour differences: these are 0.

    Returns:
        [len(DESCRIPTORS)], finite.

    Raises:
        ValueError: the array is no such picture.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ValueError(
            f"describe takes uint8 [H, W, 1 or 3], got {pixels.dtype} {list(pixels.shape)}"
        )
    if not pixels.size:
        raise ValueError(f"describe: the picture of shape {list(pixels.shape)} has no pixels")
    height, width = pixels.shape[:2]
    coarse = _planes(_every_nth(pixels))
    grey, highest, lowest = _grey(coarse), _highest(coarse), _lowest(coarse)
    if height * width <= _COARSE_PIXELS and max(height, width) <= _WHOLE_SIDE:
        fine_planes, fine = coarse, grey
    else:
        fine_planes = _planes(_crops(pixels))
        fine = _grey(fine_planes)
    return np.array(
        [
            height,
            width,
            *_detail(fine),
            _colour_noise(fine_planes),
            *_tones(grey, highest, lowest),
            *_layout(grey, None if len(coarse) == 1 else highest - lowest),
            *_colours(*map(_thinned, (coarse, highest, lowest))),
            *map(float, difference_hash(_thinned(grey))),
            *pack(thumbnail(_thinned(grey))),
        ],
        np.float64,
    )


def _detail(grey: Int[np.ndarray, "..."]) -> list[float]:
    mask = noise_mask(grey)
    blocks = noise_by_block(mask)
    return [
        *laplacian_and_least_directional_variance(grey),
        laplacian_variance(half_size(half_size(grey))),
        tenengrad(grey),
        edge_strength(grey),
        noise_level(mask),
        float(blocks[len(blocks) // 10]),
        float(blocks[len(blocks) * 9 // 10]),
        flat_share(mask),
        block_edges(grey),
    ]


def _colour_noise(planes: UInt8[np.ndarray, "c ..."]) -> float:
    if len(planes) == 1:
        return 0.0
    return noise_level(noise_mask(np.subtract(planes[0], planes[1], dtype=np.int16)))


def _tones(
    grey: Int[np.ndarray, "h w"],
    highest: UInt8[np.ndarray, "h w"],
    lowest: UInt8[np.ndarray, "h w"],
) -> list[float]:
    counts = histogram(grey)
    return [
        mean_level(counts),
        *quantiles(counts, (0.05, 0.5, 0.95)),
        contrast(counts),
        entropy(counts),
        overexposed_share(lowest),
        clipped_share(highest),
        underexposed_share(highest),
    ]


def _layout(
    grey: Int[np.ndarray, "h w"], channel_range: UInt8[np.ndarray, "h w"] | None
) -> list[float]:
    means = block_means(grey)
    median = middle(means)
    return [
        float(means.std()),
        median - float(means.min()),
        float(means.max()) - median,
        coherence(means),
        dark_band(means),
        crossing_band(means),
        centre_minus_border(means),
        straight_step(grey),
        seam_share(grey),
        empty_share(grey),
        light_object_share(grey),
        dark_speck_share(grey, channel_range),
    ]


def _colours(
    planes: UInt8[np.ndarray, "c h w"],
    highest: UInt8[np.ndarray, "h w"],
    lowest: UInt8[np.ndarray, "h w"],
) -> list[float]:
    tissue, black = tissue_share(lowest), black_share(highest, lowest)
    if len(planes) == 1:
        return [*[0.0] * 6, tissue, black, *[0.0] * len(HUES)]
    counts = histogram(saturation(highest, lowest))
    red, green, blue = planes
    return [
        mean_level(counts) / 255,
        *(level / 255 for level in quantiles(counts, (0.95, 0.99))),
        *colour_differences(*planes.astype(np.int16)),
        tissue,
        black,
        *hue_shares(red, green, blue, highest, lowest),
    ]


def _highest(planes: UInt8[np.ndarray, "c ..."]) -> UInt8[np.ndarray, "..."]:
    return (
        planes[0] if len(planes) == 1 else np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    )


def _lowest(planes: UInt8[np.ndarray, "c ..."]) -> UInt8[np.ndarray, "..."]:
    return (
        planes[0] if len(planes) == 1 else np.minimum(np.minimum(planes[0], planes[1]), planes[2])
    )


def _grey(planes: UInt8[np.ndarray, "c ..."]) -> Int[np.ndarray, "..."]:
    """Luma as int16: ITU-R BT.601's weights in 256ths."""
    if len(planes) == 1:
        return planes[0].astype(np.int16)
    total = planes[0].astype(np.uint16)
    total *= 77
    total += planes[1] * np.uint16(150)
    total += planes[2] * np.uint16(29)
    total += 128
    total >>= 8
    return total.view(np.int16)


def _planes(pixels: UInt8[np.ndarray, "... c"]) -> UInt8[np.ndarray, "c ..."]:
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _every_nth(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "p q c"]:
    height, width = pixels.shape[:2]
    step = max(1, math.isqrt(height * width // _COARSE_PIXELS))
    while -(-height // step) * -(-width // step) > _COARSE_PIXELS:
        step += 1
    return pixels[::step, ::step]


def _thinned(planes: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    if planes.shape[-1] * planes.shape[-2] < 4 * _COLOUR_PIXELS:
        return planes
    return np.ascontiguousarray(planes[..., ::2, ::2])


def _crops(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "..."]:
    """3 x 3 crops around the centres of the picture's ninths, starting at multiples of 8.

    A picture of at most 192 x 192 is one crop.
    """
    if max(pixels.shape[:2]) <= _WHOLE_SIDE:
        return pixels
    starts, sizes = [], []
    for side in pixels.shape[:2]:
        size = min(_CROP, side)
        sizes.append(size)
        places = [(2 * ninth + 1) * side // 6 - size // 2 for ninth in range(3)]
        starts.append(sorted({min(max(place, 0), side - size) // 8 * 8 for place in places}))
    return np.stack(
        [
            pixels[row : row + sizes[0], column : column + sizes[1]]
            for row in starts[0]
            for column in starts[1]
        ]
    )
