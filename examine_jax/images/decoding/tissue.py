"""Where the tissue of a stained slide is: colourful parts of a small picture of it."""

import numpy as np

from examine_jax.common.shapes import Bool, Float, UInt8

# Otsu's threshold always parts a picture in two, one of glass or of tissue alone too. So it is held
# between these saturations: below, glass; above, stained tissue.
_GLASS, _STAINED = 0.05, 0.15

_BINS = 256


def tissue_mask(pixels: UInt8[np.ndarray, "rows columns 3"]) -> Bool[np.ndarray, "rows columns"]:
    """Where the saturation (of HSV) is above Otsu's threshold, held between 0.05 and 0.15."""
    saturation = saturation_of(pixels)
    threshold = min(max(otsu_threshold(saturation), _GLASS), _STAINED)
    return saturation > threshold


def saturation_of(
    pixels: UInt8[np.ndarray, "rows columns 3"],
) -> Float[np.ndarray, "rows columns"]:
    """The saturation of HSV, from 0 (grey) to 1."""
    highest, lowest = pixels.max(axis=-1).astype(np.float64), pixels.min(axis=-1)
    return (highest - lowest) / np.maximum(highest, 1)


def otsu_threshold(values: Float[np.ndarray, "..."]) -> float:
    """The threshold that parts values from 0 to 1 into the two classes furthest apart.

    Source: Otsu, A threshold selection method from gray-level histograms, 1979.
    """
    counts, edges = np.histogram(values, _BINS, (0, 1))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[int(np.argmax(np.nan_to_num(between)))])


def tissue_shares(
    mask: Bool[np.ndarray, "rows columns"],
    corners: Float[np.ndarray, "tiles 2"],
    side: float,
) -> Float[np.ndarray, " tiles"]:
    """The share of each square tile that is tissue.

    Args:
        mask: of the whole slide.
        corners: the (row, column) of each tile's upper left corner, in pixels of the mask.
        side: of a tile, likewise. Tiles may be smaller than a pixel of the mask.
    """
    total = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    total[1:, 1:] = mask.cumsum(axis=0).cumsum(axis=1)
    start = np.floor(corners).astype(int)
    start = np.minimum(start, np.array(mask.shape) - 1)
    end = np.minimum(np.maximum(np.ceil(corners + side).astype(int), start + 1), mask.shape)
    (top, left), (bottom, right) = start.T, end.T
    held = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return held / ((bottom - top) * (right - left))
