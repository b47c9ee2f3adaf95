"""Colour: saturation, hues, colour differences, tissue. Planes of a picture, uint8 each."""

import math

import numpy as np

from examine_jax.common.shapes import Int, UInt8

# A pixel is coloured if its channels differ by this many levels. JPEG's colour errors are smaller.
COLOURED = 40
# In a grey picture, hardly a pixel's saturation exceeds this. The darkest one in colour has more.
GREY = 1e-3
# Ink and folds of ink: the brightest channel is below this.
_BLACK = 80
# Light through tissue: optical density 0.15 in some channel. Macenko et al. 2009's beta.
_TISSUE = int(255 * 10**-0.15)

HUES = tuple(f"hue_{angle}" for angle in range(0, 360, 30))


def saturation(
    highest: UInt8[np.ndarray, "..."], lowest: UInt8[np.ndarray, "..."]
) -> UInt8[np.ndarray, "..."]:
    """HSV's saturation, 0 to 255: the channels' range over their highest. Black pixels have 0."""
    spread = (highest - lowest).astype(np.float32)
    spread *= 255
    spread /= np.maximum(highest, 1)
    return spread.astype(np.uint8)


def colour_differences(
    red: Int[np.ndarray, "..."], green: Int[np.ndarray, "..."], blue: Int[np.ndarray, "..."]
) -> tuple[float, float, float]:
    """The means of red - green and of (red + green) / 2 - blue, and the colourfulness.

    Planes are int16.

    Source: Hasler and Süsstrunk, "Measuring colourfulness in natural images", SPIE 2003: the
    opponent colours and their M3.
    """
    first, second = red - green, red + green - 2 * blue
    number = red.size
    sums = [int(values.sum(dtype=np.int64)) for values in (first, second)]
    means = sums[0] / number, sums[1] / number / 2
    deviations = [
        (_sum_of_squares(values) * number - total**2) / number**2
        for values, total in zip((first, second), sums)
    ]
    colourfulness = math.sqrt(deviations[0] + deviations[1] / 4) + 0.3 * math.hypot(*means)
    return *means, colourfulness


def hue_shares(
    red: UInt8[np.ndarray, "..."],
    green: UInt8[np.ndarray, "..."],
    blue: UInt8[np.ndarray, "..."],
    highest: UInt8[np.ndarray, "..."],
    lowest: UInt8[np.ndarray, "..."],
) -> list[float]:
    """The shares of all pixels that are coloured and have a hue in each of 12 ranges.

    A range is 30 degrees wide; the first starts at 0, pure red. A pixel is coloured if its channels
    differ by 40 levels or more.
    """
    # The order of the channels gives the sextant, the middle channel the half of it: whether it is
    # nearer to the highest than to the lowest. All in uint8, which is fast.
    middle = red ^ green ^ blue ^ highest ^ lowest
    code = (red >= green).view(np.uint8)
    for bit, truth in enumerate(
        (
            green >= blue,
            red >= blue,
            middle - lowest >= highest - middle,
            highest - lowest >= COLOURED,
        )
    ):
        code = code | (truth.view(np.uint8) << np.uint8(bit + 1))
    counts = np.bincount(code.ravel(), minlength=32)[16:]
    return [float(share) for share in counts[_HUE_CODES] / code.size]


def tissue_share(lowest: UInt8[np.ndarray, "..."]) -> float:
    """The share of pixels that absorb light: optical density 0.15 or more in some channel.

    Source: the threshold of Macenko et al., "A method for normalizing histology slides", ISBI 2009.
    """
    return np.count_nonzero(lowest <= _TISSUE) / lowest.size


def black_share(highest: UInt8[np.ndarray, "..."], lowest: UInt8[np.ndarray, "..."]) -> float:
    """The share of pixels that are dark and grey, as black ink is."""
    return np.count_nonzero((highest < _BLACK) & (highest - lowest < COLOURED)) / highest.size


def _sum_of_squares(values: Int[np.ndarray, "..."]) -> int:
    # Exact in any order: whole numbers below 2^53. No BLAS, whose threads wait for one another.
    wide = values.ravel().astype(np.float64)
    return int(np.einsum("i,i->", wide, wide))


# red >= green, green >= blue and red >= blue are bits 1, 2 and 4; the middle channel above the
# middle of the others is bit 8. In the order of hues: 0-30 degrees is red > green > blue with a low
# middle, 30-60 with a high one; 60-90 is green > red > blue with a high middle, and so on.
_HUE_CODES = np.array([7, 15, 14, 6, 2, 10, 8, 0, 1, 9, 13, 5])
