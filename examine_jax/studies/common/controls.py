"""A control: the colour statistics of the images, which a trained encoder should surpass."""

from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.evaluation.control_features import colour_statistics

_BLOCK = 256  # images that are converted to floats at a time


def colour_features(
    pixels: Any, rows: Int[np.ndarray, " r"] | None = None
) -> Float[np.ndarray, "n d"]:
    """Returns the colour statistics of images, computed block by block.

    Args:
        pixels: [N, H, W, C], or images that are read on demand.
        rows: the row numbers of the images to use; None: all images.
    """
    if rows is None:
        rows = np.arange(len(pixels), dtype=np.int32)
    return np.concatenate(
        [
            colour_statistics(pixels[rows[start : start + _BLOCK]])
            for start in range(0, len(rows), _BLOCK)
        ]
    )
