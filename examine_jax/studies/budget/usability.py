"""Which images of a pool are found unusable or copies, from their pixels and features."""

import numpy as np

from examine_jax.common.shapes import Bool, Float, UInt8
from examine_jax.quality.description import DESCRIPTORS, describe
from examine_jax.quality.findings import find


def described(pixels: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
    """Returns a row of `describe` for each image."""
    return np.array([describe(image) for image in pixels]).reshape(-1, len(DESCRIPTORS))


def usable_images(
    descriptions: Float[np.ndarray, "p k"],
    pixels: UInt8[np.ndarray, "p h w c"],
    features: Float[np.ndarray, "p d"],
) -> tuple[Bool[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
    """Returns which images are found usable, and which are copies of others.

    All at the library's default thresholds.
    """
    found = find(descriptions, pixels=pixels, features=features)
    return found.usable, found.duplicates_of >= 0
