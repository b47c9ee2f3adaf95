"""Reading the charts' PNG files."""

import io

import numpy as np
from PIL import Image


def read_png(png: bytes, width: int = 1000) -> np.ndarray:
    """Returns the picture's pixels [H, W, 3].

    It fails unless the picture is a PNG, at least `width` wide and not blank.
    """
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    assert image.width >= width
    assert np.asarray(image.convert("L")).std() > 2, "the picture is blank"
    return np.asarray(image.convert("RGB"))
