"""Histogram equalisation of whole images."""

import numpy as np

from examine_jax.common.shapes import UInt8

_BINS = 256


def equalised(
    pixels: UInt8[np.ndarray, "images height width channels"],
) -> UInt8[np.ndarray, "images height width channels"]:
    """Images whose grey values are spread so that their histogram is as even as can be.

    Each image's first channel is counted in 256 bins over the image's own range; a value becomes
    255 times the share of pixels up to its bin, interpolated between the bins' left edges. All
    channels change by the first one's curve. An image of one value stays as it is.

    Source: Bencevic et al., arXiv:2206.00344, released code (scikit-image's `equalize_hist` takes
        the bins' centres, half a bin apart).
    """
    result = np.empty_like(pixels)
    values = np.arange(256)
    for index, image in enumerate(pixels):
        first = image[..., 0]
        if not first.size or first.min() == first.max():
            result[index] = image
            continue
        counts, edges = np.histogram(first, bins=_BINS, range=(first.min(), first.max()))
        shares = counts.cumsum() / first.size
        curve = np.interp(values, edges[:-1], 255 * shares)
        result[index] = np.rint(curve).astype(np.uint8)[image]
    return result
