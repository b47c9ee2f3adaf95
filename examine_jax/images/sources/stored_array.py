"""Arrays in .npy files and .npz archives, read in blocks of rows.

The header is checked before anything is allocated, and nothing is unpickled. A file is never mapped
into memory: one that shrinks meanwhile would kill the process.
"""

import contextlib
import dataclasses
import errno
import io
import lzma
import math
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import cast

import numpy as np

from examine_jax.common.shapes import Shaped
from examine_jax.images.names import shown

# NumPy writes headers of a few hundred bytes.
_HEADER_LIMIT = 64 * 1024
_BLOCK_BYTES = 32 * 2**20

# MedMNIST's archives hold 6. Each costs the reading of a header.
_MOST_ARRAYS = 10_000

# Numbers above in a shape or dtype are no array's.
_MOST_BYTES = 2**63
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
    OverflowError,
    struct.error,
)


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """One stored array, as its header declares it.

    Attributes:
        path: the file.
        key: the array's name in the archive; None for a .npy file.
        shape, dtype, fortran_order: as declared.
        offset: the header's length in bytes.
    """

    path: str
    key: str | None
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    offset: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return shown(self.path) + (f" ({shown(self.key)})" if self.key is not None else "")

    def blocks(self) -> Iterator[Shaped[np.ndarray, "rows ..."]]:
        """Yields the array, a block of rows at a time.

        Raises:
            ValueError: the file is truncated or damaged.
        """
        with _damage(f"{self}: damaged"), _opened(self.path, self.key) as stream:
            stream.read(self.offset)
            if self.fortran_order:  # Each row is scattered over the whole file.
                yield self._read(stream, math.prod(self.shape)).reshape(self.shape, order="F")
                return
            row = math.prod(self.shape[1:])
            rows = max(1, _BLOCK_BYTES // max(1, row * self.dtype.itemsize))
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                yield self._read(stream, count * row).reshape(count, *self.shape[1:])
            # At the end, zipfile checks the checksum.
            if self.key is not None and stream.read(1):
                raise ValueError(f"{self}: holds more than its header declares; write it anew")

    def whole(self) -> Shaped[np.ndarray, "..."]:
        """The whole array; for arrays that are known to be small."""
        array = np.empty(self.shape, self.dtype)
        row = 0
        for block in self.blocks() if self.shape and self.shape[0] else ():
            array[row : row + len(block)] = block
            row += len(block)
        return array

    def _read(self, stream: io.BufferedIOBase, values: int) -> Shaped[np.ndarray, " values"]:
        expected = values * self.dtype.itemsize
        content = stream.read(expected)
        if len(content) != expected:
            raise ValueError(
                f"{self}: truncated, its header declares {self.nbytes} bytes of data; write it anew"
            )
        return np.frombuffer(content, self.dtype)


def stored_arrays(path: str | os.PathLike[str]) -> tuple[StoredArray, ...]:
    """The arrays in a .npy file (one) or .npz archive, by their headers; object arrays too.

    Raises:
        ValueError: it is no such file, damaged or truncated.
        OSError: it cannot be opened (FileNotFoundError, ...).
    """
    path = os.fspath(path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{shown(path)}: not a plain file")
    with open(path, "rb") as stream:
        magic = stream.read(6)
    if magic == b"\x93NUMPY":
        with open(path, "rb") as stream:
            return (_header(path, None, stream, os.path.getsize(path)),)
    where = f"{shown(path)}: neither a .npy file nor a readable .npz archive"
    with _damage(where), zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if not members:
            raise ValueError(
                f"{shown(path)}: an archive without .npy arrays; write it with numpy.savez"
            )
        if len(members) > _MOST_ARRAYS:
            raise ValueError(
                f"{shown(path)}: an archive of {len(members)} arrays, more than {_MOST_ARRAYS}; "
                "stack the images into one array [N, H, W, C]"
            )
        return tuple(_member_header(path, archive, info) for info in members)


@contextlib.contextmanager
def _damage(what: str) -> Iterator[None]:
    """Inside, what a damaged archive raises becomes a ValueError."""
    try:
        yield
    except _DAMAGED as error:
        raise ValueError(f"{what} ({error}); write it anew") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{what} ({error}); write it anew") from error  # from bzip2


def _opened(path: str, key: str | None) -> io.BufferedIOBase:
    if key is None:
        return open(path, "rb")
    with zipfile.ZipFile(path) as archive:  # The opened member keeps the file open.
        return _member(archive, f"{key}.npy")


def _member(archive: zipfile.ZipFile, name: str | zipfile.ZipInfo) -> io.BufferedIOBase:
    try:
        return cast(io.BufferedIOBase, archive.open(name))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile("a member begins before the file") from error


def _member_header(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> StoredArray:
    with _member(archive, info) as stream:
        return _header(path, info.filename.removesuffix(".npy"), stream, info.file_size)


def _header(path: str, key: str | None, stream: io.BufferedIOBase, size: int) -> StoredArray:
    """The array whose header a stream of so many bytes begins with."""
    beginning = io.BytesIO(stream.read(_HEADER_LIMIT))
    where = shown(path) + (f" ({shown(key)})" if key is not None else "")
    try:
        version = np.lib.format.read_magic(beginning)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version[0]}.{version[1]}")
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of headers by Python 2.
            shape, fortran_order, dtype = read(beginning)
    except Exception as error:  # NumPy's parser raises anything for a damaged header.
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{where}: its header cannot be read ({reason}); write it anew with numpy.save"
        ) from error
    if min(shape, default=0) < 0 or math.prod(max(side, 1) for side in shape) > _MOST_BYTES:
        raise ValueError(
            f"{where}: its header declares a shape that no array has; write it anew with numpy.save"
        )
    array = StoredArray(path, key, shape, dtype, fortran_order, beginning.tell())
    held = size - array.offset
    if not dtype.hasobject and held < array.nbytes:
        raise ValueError(
            f"{array}: truncated, its header declares {array.nbytes} bytes of data and {held} are "
            "there; write it anew"
        )
    return array
