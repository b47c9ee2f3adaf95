"""Where the bytes of an image file lie: in a file of its own, or in an archive.

A member of an archive is read where it lies, into memory; nothing is unpacked on disk.
"""

import dataclasses
import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO

from examine_jax.images.decoding.tiling import SlideTile
from examine_jax.images.decoding.unreadable import UnreadableImage

_BLOCK_BYTES = 2**20

# Of a slide's tile, about.
_PIXELS_PER_BYTE = 4

# A member's own header in a .zip file (PKWARE's APPNOTE.TXT, 4.3.7): the signature, 22 bytes that
# the archive's directory repeats, and the lengths of the name and of the extra field.
_ZIP_HEADER = struct.Struct("<4s22xHH")
_ZIP_SIGNATURE = b"PK\x03\x04"


@dataclasses.dataclass(frozen=True)
class FilePart:
    """A member of an archive.

    Attributes:
        archive: the path of the file that holds it.
        name: the archive's path and the member's, for messages.
        offset: where it begins in the archive.
        stored: how many bytes of the archive it takes, without a header.
        size: how many bytes it has as a file.
        deflated: it is compressed by deflate.
        zip_header: a header of a .zip file comes first.
        checksum: the CRC-32 of its bytes as a file; None: not known.
    """

    archive: str
    name: str
    offset: int
    stored: int
    size: int
    deflated: bool = False
    zip_header: bool = False
    checksum: int | None = None


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file at a URL, or a member of an archive there.

    Attributes:
        url: as it is opened, with secrets.
        name: for messages, without them.
        size: how many bytes it has as a file.
        whole: how many bytes are at the URL.
        version: tells versions of what is at the URL apart, such as an ETag; "": nothing does.
        part: where a member lies in the archive at the URL; None: it is no member.
        cache: the folder that keeps a copy; None: none is kept.
    """

    url: str
    name: str
    size: int
    whole: int
    version: str = ""
    part: FilePart | None = None
    cache: str | None = None


@dataclasses.dataclass(frozen=True)
class StackedFiles:
    """The files of a DICOM volume that is cut in another plane than it was taken in.

    Attributes:
        files: in the order of their slices.
        size: the rows and columns of each.
        step: from a slice to the next, in millimetres.
    """

    files: tuple[str | FilePart | RemoteFile, ...]
    size: tuple[int, int]
    step: tuple[float, float, float]


# A path, a member of an archive, a file at a URL, a tile of a slide, or files that are cut.
Place = str | FilePart | RemoteFile | SlideTile | StackedFiles


# Opens an archive for reading, by its path or URL.
OpenArchive = Callable[[str], BinaryIO]


class _Content(io.BytesIO):
    """The bytes of a member, with what else an opened file has."""

    mode, name = "rb", ""


def absolute(place: Place) -> Place:
    """The place by a path from the root."""
    if isinstance(place, SlideTile):
        return dataclasses.replace(place, slide=os.path.abspath(place.slide))
    if isinstance(place, StackedFiles):
        return dataclasses.replace(place, files=tuple(map(_absolute_file, place.files)))
    return _absolute_file(place)


def _absolute_file(place: str | FilePart | RemoteFile) -> str | FilePart | RemoteFile:
    if isinstance(place, RemoteFile):
        return place
    if isinstance(place, FilePart):
        return dataclasses.replace(place, archive=os.path.abspath(place.archive))
    return os.path.abspath(place)


def size_of(place: Place) -> int:
    """The bytes of the file; 0 if it is not there, because reading it gives the reason."""
    if isinstance(place, FilePart | RemoteFile):
        return place.size
    if isinstance(place, SlideTile):
        return place.tile**2 // _PIXELS_PER_BYTE
    if isinstance(place, StackedFiles):
        return sum(map(size_of, place.files))
    try:
        return os.stat(place).st_size
    except OSError:
        return 0


def path_of(place: Place) -> str:
    """The place for messages; of files that are cut, the first one."""
    file = place.files[0] if isinstance(place, StackedFiles) else place
    return file if isinstance(file, str) else file.name


def scale_name(place: Place) -> str:
    """A name of the file that is the same in each process."""
    return os.path.abspath(place) if isinstance(place, str) else path_of(place)


def open_place(place: str | FilePart, max_bytes: int) -> BinaryIO:
    """Opens a plain file of a limited size, or a member of an archive.

    Raises:
        UnreadableImage: no plain file, an empty one, one that is too large, or a damaged member.
        OSError: it cannot be opened.
    """
    if isinstance(place, FilePart):
        _check_size(place.size, max_bytes)
        return _Content(part_bytes(place, place.size))
    status = os.stat(place)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("not a plain file but a pipe, socket or device")
    _check_size(status.st_size, max_bytes)
    # Given a name, Pillow maps the file into memory: a file that shrinks then kills the process,
    # and some TIFFs are turned wrongly.
    return open(place, "rb")


def _check_size(size: int, max_bytes: int) -> None:
    if size == 0:
        raise UnreadableImage("empty: 0 bytes")
    if size > max_bytes:
        raise UnreadableImage(f"{size} bytes, more than max_bytes={max_bytes}")


def open_here(path: str) -> BinaryIO:
    """Opens a file on a disk."""
    return open(path, "rb")


def part_bytes(part: FilePart, count: int, opened: OpenArchive = open_here) -> bytes:
    """The first `count` bytes of a member, or all that it has.

    Read whole (`count` is its size), it is checked: its length, and its checksum if that is known.

    Raises:
        UnreadableImage: it is damaged, or longer than its archive declares.
        OSError: the archive cannot be read.
    """
    with opened(part.archive) as stream:
        stream.seek(part.offset)
        if part.zip_header:
            _pass_zip_header(stream)
        content = _inflated(stream, part, count) if part.deflated else stream.read(count)
    if count < part.size:
        return content
    if len(content) != part.size:
        raise UnreadableImage(
            f"damaged: its archive declares {part.size} bytes and holds {len(content)} of them"
        )
    if part.checksum is not None and zlib.crc32(content) != part.checksum:
        raise UnreadableImage("damaged: its bytes do not have the checksum that its archive states")
    return content


def _pass_zip_header(stream: BinaryIO) -> None:
    header = stream.read(_ZIP_HEADER.size)
    if len(header) < _ZIP_HEADER.size or header[:4] != _ZIP_SIGNATURE:
        raise UnreadableImage("damaged: it does not begin where the archive's directory says")
    _, name_length, extra_length = _ZIP_HEADER.unpack(header)
    stream.seek(name_length + extra_length, os.SEEK_CUR)


def _inflated(stream: BinaryIO, part: FilePart, count: int) -> bytes:
    """Inflates no more than `count` bytes, and one to see whether there are more."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found, stored = io.BytesIO(), part.stored
    try:
        while not inflater.eof and found.tell() <= count:
            block = inflater.unconsumed_tail
            if not block:
                block = stream.read(min(_BLOCK_BYTES, stored))
                stored -= len(block)
            piece = inflater.decompress(block, min(count + 1 - found.tell(), _BLOCK_BYTES))
            if not block and not piece:
                break
            found.write(piece)
    except zlib.error as error:
        raise UnreadableImage(f"damaged ({error})") from error
    if found.tell() > count and count == part.size:
        raise UnreadableImage(
            f"damaged: its archive declares {part.size} bytes, and it inflates to more"
        )
    return found.getvalue()[:count]
