"""The members of a .tar file, compressed by gzip or not."""

import contextlib
import dataclasses
import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

from examine_jax.images.decoding.file_part import FilePart, OpenArchive
from examine_jax.images.names import shown
from examine_jax.images.sources.archive_members import (
    BOMB_BYTES,
    BOMB_RATIO,
    Member,
    bomb,
    nothing_of,
)
from examine_jax.images.sources.unnamed_file import UnnamedFile

_GZIP = b"\x1f\x8b"
_BLOCK_BYTES = 2**20

# Headers of long names and other attributes have a few thousand bytes.
_LARGEST_HEADER = 2**26

# What a damaged or cut archive raises.
_DAMAGED = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, ValueError, OverflowError)


@dataclasses.dataclass(frozen=True)
class TarFile:
    """A .tar file.

    Attributes:
        path: its path or URL.
        size: its bytes.
        opened: opens it for reading.
        unpacked: receives the image files of one that is compressed; None: it is not.
    """

    path: str
    size: int
    opened: OpenArchive
    unpacked: UnnamedFile | None

    @classmethod
    def of(cls, path: str, size: int, opened: OpenArchive) -> "TarFile":
        """Whether it is compressed is seen from its content.

        Raises:
            OSError: it cannot be read.
        """
        with opened(path) as stream:
            unpacked = UnnamedFile() if stream.read(2) == _GZIP else None
            return cls(path, size, opened, unpacked)


def tar_members(file: TarFile) -> Iterator[Member]:
    """The files in a .tar file, in order.

    Where the archive is cut off or damaged, the last member says so under the archive's own name.

    Raises:
        ValueError: it is damaged from its beginning, or inflates to more than an archive of its
            size may.
        OSError: it cannot be read.
    """
    with contextlib.ExitStack() as opened:
        stream: Any = opened.enter_context(file.opened(file.path))
        if file.unpacked is not None:
            stream = opened.enter_context(gzip.GzipFile(fileobj=stream))
            opened.callback(file.unpacked.stream.flush)
        bytes_read = _Forward(file, stream)
        try:
            # Its own errors are named below; it reads only by the three methods of `_Forward`.
            archive = opened.enter_context(
                tarfile.open(fileobj=bytes_read, mode="r:")  # type: ignore[call-overload]
            )
        except _Exhausting:
            raise
        except _DAMAGED as error:
            raise ValueError(
                f"{shown(file.path)}: damaged, or no .tar file ({' '.join(str(error).split())}); "
                "write it anew"
            ) from error
        while True:
            try:
                info = archive.next()
            except _Exhausting:
                raise
            except _DAMAGED as error:
                yield _damage(file, " ".join(str(error).split()))
                return
            if info is None:
                break
            archive.members = []  # It keeps all that it has met.
            if not info.isdir():
                current = _Current(file, bytes_read, info)
                yield Member(
                    info.name,
                    None,
                    info.size,
                    _problem(info),
                    current.read,
                    current.keep,
                )
                if current.failure is not None:
                    yield _damage(file, current.failure)
                    return
        # A header that is none ends the archive as the block of zeros does that should end it.
        if bytes_read.last.strip(b"\0"):
            yield _damage(file, "it ends with a header that is none")


class _Exhausting(ValueError):
    """It inflates to more than an archive of its size may."""


class _Forward:
    """Reads a stream once, from its beginning to its end, and bounds what it reads."""

    def __init__(self, file: TarFile, stream: Any):
        self._file, self._stream = file, stream
        self._most = max(BOMB_BYTES, BOMB_RATIO * file.size)
        self._position = 0
        self.last = b""

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {count} bytes")
        found = bytearray()
        while len(found) < count and (block := self._stream.read(count - len(found))):
            found += block
        self._position += len(found)
        if self._file.unpacked is not None and self._position > self._most:
            raise _Exhausting(bomb(self._file.path, self._position))
        self.last = bytes(found)
        return self.last

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("a member begins before the one before it ends")
        if self._file.unpacked is None:
            self._position = self._stream.seek(position)
            return
        while self._position < position:
            if not self.read(min(position - self._position, _BLOCK_BYTES)):
                break


class _Current:
    """The member that an archive is at."""

    def __init__(self, file: TarFile, stream: _Forward, info: tarfile.TarInfo):
        self._file, self._stream, self._info = file, stream, info
        self._beginning = b""
        self.failure: str | None = None

    def read(self, count: int) -> bytes:
        missing = min(count, self._info.size) - len(self._beginning)
        if missing > 0:
            self._beginning += self._next(missing)
        return self._beginning[:count]

    def keep(self) -> FilePart:
        info, unpacked = self._info, self._file.unpacked
        name = f"{self._file.path}/{info.name}"
        if unpacked is None:
            return FilePart(self._file.path, name, info.offset_data, info.size, info.size)
        start = unpacked.stream.tell()
        block, held = self._beginning, 0
        try:
            while block or held < info.size:
                unpacked.stream.write(block)
                held += len(block)
                block = self._next(min(info.size - held, _BLOCK_BYTES))
                if not block:
                    break
        except OSError as error:
            raise OSError(
                f"no room to unpack the images of {shown(self._file.path)} in the temporary "
                f"folder ({error.strerror or error}); name another by TMPDIR, or give a .zip or "
                ".tar file"
            ) from error
        return FilePart(unpacked.path, name, start, info.size, info.size)

    def _next(self, count: int) -> bytes:
        if count <= 0 or self.failure is not None:
            return b""
        try:
            if self._stream.tell() < self._info.offset_data:
                self._stream.seek(self._info.offset_data)
            found = self._stream.read(count)
        except _Exhausting:
            raise
        except _DAMAGED as error:
            self.failure = " ".join(str(error).split())
            return b""
        if len(found) < count and self._file.unpacked is not None:
            self.failure = "unexpected end of data"
        return found


def _problem(info: tarfile.TarInfo) -> str | None:
    if info.size < 0:
        return "damaged: the archive states a size below 0"
    if info.isreg():
        if info.issparse():
            return "a sparse file; write the archive without sparse files"
        return None
    return "a link, device or pipe; only files are read"


def _damage(file: TarFile, reason: str) -> Member:
    def keep() -> FilePart:
        raise AssertionError("it is not read")

    problem = f"the archive is damaged or cut off, and is read up to there ({reason})"
    return Member(os.path.basename(file.path), None, 0, problem, nothing_of, keep)
