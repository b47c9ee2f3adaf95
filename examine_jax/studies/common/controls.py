"""Colours alone, which a trained encoder has to beat."""

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped
from examine_jax.evaluation.control_features import colour_statistics

_BLOCK = 256  # images whose pixels are floats at a time


def colour_features(
    pixels: Shaped[np.ndarray, "n h w c"], rows: Int[np.ndarray, " r"] | None = None
) -> Float[np.ndarray, "n d"]:
    """Colour statistics of the images, or of some rows of images that are read on demand; a block at a time."""
    if rows is None:
        rows = np.arange(len(pixels), dtype=np.int32)
    return np.concatenate(
        [colour_statistics(pixels[rows[start : start + _BLOCK]]) for start in range(0, len(rows), _BLOCK)]
    )
