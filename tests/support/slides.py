"""Small whole slides, as openslide reads them."""

import pathlib

import numpy as np
import tifffile

PINK = (200, 90, 160)


def save_slide(
    path: pathlib.Path, pixels: np.ndarray, mpp: float | None = None, levels: int = 2
) -> pathlib.Path:
    """A tiled TIFF with smaller levels."""
    settings: dict[str, object] = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib"}
    if mpp is not None:
        settings |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            shrunk = pixels[:: 2**level, :: 2**level]
            writer.write(shrunk, subfiletype=int(level > 0), **settings)
    return path


def tissue_on_glass() -> np.ndarray:
    """Glass of 640 x 512 pixels with stained tissue in its columns from 256 to 511."""
    pixels = np.full((512, 640, 3), 240, np.uint8)
    noise = np.random.default_rng(0).integers(-20, 20, (512, 256, 3))
    pixels[:, 256:512] = np.array(PINK) + noise
    return pixels
