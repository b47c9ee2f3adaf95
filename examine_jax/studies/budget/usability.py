"""Which images of a pool are found unusable or copies, from their pixels and features."""

import numpy as np

from examine_jax.common.shapes import Bool, Float, UInt8
from examine_jax.quality.description import describe
from examine_jax.quality.findings import find


def usable_images(
    pixels: UInt8[np.ndarray, "p h w c"], features: Float[np.ndarray, "p d"]
) -> tuple[Bool[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
    """Returns which images are found usable, and which are copies of others.

    All at the library's default thresholds.
    """
    described = np.stack([describe(image) for image in pixels])
    found = find(described, pixels=pixels, features=features)
    return found.usable, found.duplicates_of >= 0
