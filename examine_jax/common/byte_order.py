"""Byte order: NumPy arrays as this machine stores numbers."""

import numpy as np


def native(array: np.ndarray) -> np.ndarray:
    """The array in the machine's own byte order; the same array where it has that order already.

    Files may hold numbers in the other order (big-endian .npy, FITS, DICOM). JAX takes such an
    array's bytes as they are and computes with wrong numbers, so every entry of the library that
    hands a caller's array to JAX passes it through here first.
    """
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
