"""Calls a function that describes each image as it was stored, before any resize.

The function gets the whole image, upright, as uint8 [H, W, 1 or 3], from black (0) to white (255),
transparent pixels on white. It returns K numbers, the same K for every image.

Values of more than 8 bits whose full scale depends on other images are shown on a provisional
scale, as if the image were alone: integers by `bits_stored`, or by the fewest bits that hold its
largest value; DICOM values without a window by the image's own range (intensity.py). So a
description depends on its image alone.
"""

from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.shapes import Float, Num, UInt8
from examine_jax.images.decoding.depth import FLOAT_TOLERANCE, bits_that_hold, to_bytes
from examine_jax.images.decoding.intensity import Intensities, shared_scales

# uint8 [H, W, 1 or 3] -> K numbers.
Describe = Callable[[UInt8[np.ndarray, "height width channels"]], Num[np.ndarray, " numbers"]]


class DescribeFailed(Exception):
    """The describing function failed. That is no fault of the file, so no file is skipped for it.

    Attributes:
        error: what it raised.
    """

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error


def described(
    describe: Describe, pixels: UInt8[np.ndarray, "height width channels"]
) -> Float[np.ndarray, " numbers"]:
    """What `describe` says of an image, as float64.

    Raises:
        DescribeFailed: it raises, or its result is not one row of numbers.
    """
    try:
        numbers = np.asarray(describe(pixels), np.float64)
        if numbers.ndim != 1:
            raise ValueError(
                f"describe returned an array of shape {numbers.shape}; return one row of numbers"
            )
    except Exception as error:
        raise DescribeFailed(error) from error
    return numbers


def described_here(
    describe: Describe, pixels: UInt8[np.ndarray, "height width channels"]
) -> Float[np.ndarray, " numbers"]:
    """`described`, outside the decoder: what `describe` raises is raised as it is."""
    try:
        return described(describe, pixels)
    except DescribeFailed as failure:
        raise failure.error from None


def stacked(rows: Sequence[Float[np.ndarray, " numbers"]]) -> Float[np.ndarray, "images numbers"]:
    """Descriptions as one array.

    Raises:
        ValueError: they differ in length.
    """
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise ValueError(
            f"describe returned {lengths[0]} numbers for one image and {lengths[-1]} for another; "
            "return equally many for each"
        )
    return np.stack(rows) if rows else np.empty((0, 0))


def provisional_bytes(
    values: Num[np.ndarray, "height width channels"],
    largest: float,
    bits_stored: int | None,
    intensities: Intensities | None = None,
) -> UInt8[np.ndarray, "height width channels"]:
    """Deep values as bytes, by the scale that they would have if the image were alone."""
    if intensities is not None:
        scales = shared_scales([intensities])
        return intensities.to_bytes(values, scales[intensities.shared_by])
    if values.dtype.kind == "f":
        return to_bytes(values, 1.0 if largest <= 1 + FLOAT_TOLERANCE else 255.0)
    return to_bytes(values, 2.0 ** (bits_stored or bits_that_hold(int(largest))) - 1)


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """The (rows, columns) that `upright` makes of others, or of which it makes them."""
    return size[::-1] if orientation in (5, 6, 7, 8) else size


def upright(
    values: Num[np.ndarray, "height width channels"], orientation: int
) -> Num[np.ndarray, "rows columns channels"]:
    """Turns an array by an EXIF orientation, 1 to 8; another is taken as 1."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)
