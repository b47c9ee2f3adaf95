"""A spectral summary as one .npz file: float64 arrays and a format version, uncompressed."""

import io
import math
import os
import zipfile
from typing import Any, BinaryIO

import numpy as np

from examine_jax.common.shapes import Float

VERSION = 1
_VERSION_NAME = "examine_jax_spectral_summary_version"
# Scaled entries are below 2, and below 2^25 where the features are too large to be scaled so far.
# Limits so close to these keep all that is computed from a file within float64's range.
_LARGEST = 2.0**26
_MOST_ROWS = 2.0**53


def write_summary(path: str | os.PathLike[str], arrays: dict[str, object]) -> None:
    """Writes the named arrays, completely or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    from examine_jax.common.atomic_files import replacing

    content: dict[str, Any] = {
        name: np.asarray(array, np.float64, order="C") for name, array in arrays.items()
    }
    content[_VERSION_NAME] = np.asarray(VERSION, np.float64)
    with replacing(path) as stream:
        np.savez(stream, **content)


def read_summary(
    path: str | os.PathLike[str], names: tuple[str, ...], later: tuple[str, ...] = ()
) -> dict[str, Float[np.ndarray, "..."]]:
    """Reads the arrays of these names and checks that they fit one another.

    Args:
        path: the file.
        names: arrays that every file holds.
        later: arrays that files of earlier versions lack. A file holds all of them or none.

    Raises:
        ValueError: the file is not a summary, has another version, or is truncated or damaged; or
            its arrays cannot be those of a summary.
        OSError: the file cannot be read.
    """
    # The file is opened first. An OSError after that comes from its content: an offset in it may
    # point anywhere.
    with open(path, "rb") as stream:
        try:
            arrays = _read(stream, names, later)
        # Whatever zipfile, struct and numpy raise for bytes that somebody damaged or made up.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"{path} is not a readable spectral summary: {reason}. Save it again"
            ) from error
    return arrays


def _read(
    stream: BinaryIO, names: tuple[str, ...], later: tuple[str, ...]
) -> dict[str, Float[np.ndarray, "..."]]:
    with zipfile.ZipFile(stream) as archive:
        held = {name.removesuffix(".npy") for name in archive.namelist()}
        if _VERSION_NAME not in held:
            raise ValueError("the archive holds no summary")
        version = _array(archive, _VERSION_NAME)
        if version.shape:
            raise ValueError("its version is not a number")
        if version != VERSION:
            raise ValueError(
                f"its format is version {float(version):g}; this program reads version {VERSION}"
            )
        if held & set(later):
            names += later
        missing = sorted(set(names) - held)
        if missing:
            raise ValueError(f"the array {missing[0]} is missing")
        # A damaged name would otherwise make a file look like one of an earlier version.
        if len(archive.namelist()) != len(names) + 1:
            raise ValueError("the archive holds more than a summary")
        arrays = {name: _array(archive, name) for name in names}
    _check(arrays)
    return arrays


def _array(archive: zipfile.ZipFile, name: str) -> Float[np.ndarray, "..."]:
    information = archive.getinfo(f"{name}.npy")
    # `write_summary` never compresses. A compressed array is refused, because a small file could
    # expand and fill the memory.
    if (
        information.compress_type != zipfile.ZIP_STORED
        or information.file_size != information.compress_size
    ):
        raise ValueError(f"{name} is compressed")
    stream = io.BytesIO(archive.read(information))
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} is in another .npy format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    content = stream.read()
    if (
        dtype != np.dtype("<f8")
        or fortran
        or len(shape) > 2
        or len(content) != 8 * math.prod(shape)
    ):
        raise ValueError(f"{name} is not a float64 array, or is truncated")
    return np.frombuffer(content, "<f8").astype(np.float64).reshape(shape)


def _shapes(width: int) -> dict[str, tuple[int, ...]]:
    return {
        "mean": (width,),
        "mean_rest": (width,),
        "scatter": (width, width),
        "scatter_rest": (width, width),
        "rest_errors": (2,),
    }


def _check(arrays: dict[str, Float[np.ndarray, "..."]]) -> None:
    width = arrays["mean"].size
    for name, array in arrays.items():
        expected = _shapes(width).get(name, ())
        if array.shape != expected or width < 1:
            raise ValueError(
                f"{name} has shape {array.shape}, which does not fit a mean of {width} columns"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    count, scatter = arrays["count"], arrays["scatter"]
    if count < 0 or count != np.floor(count):
        raise ValueError(f"the count of rows is {count:g}, not a whole number from 0 up")
    if count > _MOST_ROWS:
        raise ValueError(f"the count of rows is {count:g}, more than float64 counts")
    scale = arrays["scale"]
    if scale < np.finfo(np.float64).tiny or np.frexp(scale)[0] != 0.5:
        raise ValueError(f"the scale {arrays['scale']:g} is not a power of two")
    bounds = {name: array for name, array in arrays.items() if "error" in name}
    if any((bound < 0).any() for bound in bounds.values()):
        raise ValueError("an error bound is negative")
    of_products = _LARGEST**2 * max(float(count), 1)
    limits = {"mean": _LARGEST, "mean_error": _LARGEST, "scatter": of_products} | {
        name: of_products for name in bounds if name != "mean_error"
    }
    for name, limit in limits.items():
        if np.abs(arrays[name]).max() > limit:
            raise ValueError(f"{name} is larger than that of any rows of this scale")
    diagonal, error = np.diagonal(scatter), float(arrays["scatter_error"])
    length = np.sqrt(np.maximum(diagonal + 2 * error, 0))
    if (diagonal < -2 * error).any() or (
        np.abs(scatter) > (1 + 1e-9) * np.outer(length, length) + 2 * error
    ).any():
        raise ValueError("the scatter has a negative eigenvalue, as that of no rows has")
    if not np.allclose(scatter, scatter.T, rtol=1e-9, atol=1e-9 * np.abs(scatter).max()):
        raise ValueError("the scatter is not symmetric")
    for name in arrays:
        whole = np.abs(arrays[name.removesuffix("_rest")])
        if name.endswith("_rest") and (np.abs(arrays[name]) > np.spacing(whole)).any():
            raise ValueError(f"{name} is larger than a rounding error")
