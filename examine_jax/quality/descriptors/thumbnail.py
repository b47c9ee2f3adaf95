"""A picture's small copy, 8 x 8 grey levels, and its packing into few numbers."""

import functools

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped, UInt8

SIDE = 8
# A float64 holds whole numbers of 53 bits exactly: 6 bytes.
_BYTES = 6
PACKED = -(-(SIDE * SIDE) // _BYTES)


def thumbnail(grey: Shaped[np.ndarray, "h w"]) -> UInt8[np.ndarray, "8 8"]:
    """Means of 8 x 8 cells, rounded down. In a picture with a side below 8, cells repeat pixels."""
    (rows, heights), (columns, widths) = map(_cells, grey.shape)
    sums = np.add.reduceat(grey, rows, axis=0, dtype=np.int32)
    sums = np.add.reduceat(sums, columns, axis=1, dtype=np.int64)
    return (sums // (heights[:, None] * widths)).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _cells(side: int) -> tuple[Int[np.ndarray, "8"], Int[np.ndarray, "8"]]:
    """Where the cells of a side begin, and their sizes."""
    starts = np.arange(SIDE) * side // SIDE
    return starts, np.maximum(np.diff(np.append(starts, side)), 1)


def pack(small: UInt8[np.ndarray, "8 8"]) -> Float[np.ndarray, " packed"]:
    """64 bytes as 11 whole numbers below 2^48."""
    padded = np.zeros(PACKED * _BYTES, np.int64)
    padded[: small.size] = small.ravel()
    return (padded.reshape(PACKED, _BYTES) << _SHIFTS).sum(axis=1).astype(np.float64)


def unpack(packed: Float[np.ndarray, "n packed"]) -> Int[np.ndarray, "n 64"]:
    """The grey levels that `pack` packed, row by row."""
    values = packed.astype(np.int64)[:, :, None] >> _SHIFTS & 255
    return values.reshape(len(packed), -1)[:, : SIDE * SIDE]


_SHIFTS = np.arange(_BYTES) * 8
