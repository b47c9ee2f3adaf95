"""An image whose header is read and that is decoded in bands of rows."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from examine_jax.common.shapes import Num


@dataclasses.dataclass(frozen=True, eq=False)
class Raster:
    """An image that can be decoded.

    Attributes:
        height, width: as stored.
        orientation: as in EXIF; 1 is upright.
        deep: its values are integers of more than 8 bits, which wait for a full scale.
        channels: 1 (grey) or 3 (RGB).
        bands: decodes; yields values [rows, width, channels] from the top down, all of one type.
            uint8 is final, from black to white.
    """

    height: int
    width: int
    orientation: int
    deep: bool
    channels: int
    bands: Callable[[], Iterator[Num[np.ndarray, "rows width channels"]]]
