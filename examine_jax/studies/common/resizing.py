"""Images at an encoder's size; a study reads them once, at one size."""

import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.resize import resize_bytes


def resized(pixels: UInt8[np.ndarray, "n h w c"], size: int) -> UInt8[np.ndarray, "n s s c"]:
    """Returns the images at an encoder's size."""
    if not len(pixels) or pixels.shape[1] == size:
        return pixels
    return np.stack([resize_bytes(image, size) for image in pixels])
