"""A spectral summary as one .npz file: float64 arrays and a format version, uncompressed."""

import io
import math
import os
import zipfile
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float

VERSION = 1
_VERSION_NAME = "examine_jax_spectral_summary_version"


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
    path: str | os.PathLike[str], names: tuple[str, ...]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Reads the arrays of these names and checks that they fit one another.

    Raises:
        ValueError: the file is not a summary, is of another version, truncated or damaged; or its
            arrays cannot be those of a summary.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held = {name.removesuffix(".npy") for name in archive.namelist()}
            if _VERSION_NAME not in held:
                raise ValueError("this is another kind of archive")
            version = float(_array(archive, _VERSION_NAME))
            if version != VERSION:
                raise ValueError(
                    f"its format is version {version:g}, this program reads version {VERSION}"
                )
            missing = sorted(set(names) - held)
            if missing:
                raise ValueError(f"there is no {missing[0]} in it")
            arrays = {name: _array(archive, name) for name in names}
        _check(arrays)
    except OSError:
        raise
    # These are what zipfile, zlib and numpy raise for damaged bytes, encrypted members and unknown
    # compression methods.
    except (
        ValueError,
        zipfile.BadZipFile,
        EOFError,
        KeyError,
        RuntimeError,
        OverflowError,
    ) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} is not a readable spectral summary: {reason}. Save it again"
        ) from error
    return arrays


def _array(archive: zipfile.ZipFile, name: str) -> Float[np.ndarray, "..."]:
    information = archive.getinfo(f"{name}.npy")
    # `write_summary` never compresses; a small file that expands could fill the memory.
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
        raise ValueError(f"{name} is no float64 array, or is cut short")
    return np.frombuffer(content, "<f8").astype(np.float64).reshape(shape)


def _check(arrays: dict[str, Float[np.ndarray, "..."]]) -> None:
    width = arrays["mean"].size
    for name, array in arrays.items():
        expected = {"mean": (width,), "scatter": (width, width)}.get(name, ())
        if array.shape != expected or width < 1:
            raise ValueError(
                f"{name} has shape {array.shape}, which does not go with a mean of {width} columns"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    count, scatter = arrays["count"], arrays["scatter"]
    if count < 0 or count != np.floor(count):
        raise ValueError(f"a count of {count:g} rows")
    if arrays["scale"] <= 0 or np.frexp(arrays["scale"])[0] != 0.5:
        raise ValueError(f"the scale {arrays['scale']:g} is no power of two")
    if arrays["mean_error"] < 0 or arrays["scatter_error"] < 0:
        raise ValueError("a negative error")
    if not np.allclose(scatter, scatter.T, rtol=1e-9, atol=1e-9 * np.abs(scatter).max()):
        raise ValueError("the scatter is not symmetric")
