"""Finds the images in a TIFF by its directories alone, before a library reads their tags.

A directory that names itself, or that holds millions of numbers, costs neither time nor memory.
"""

import dataclasses
import struct
from typing import BinaryIO

from examine_jax.images.decoding.unreadable import UnreadableImage

_MOST_DIRECTORIES = 100_000  # each becomes an image with a name
_MOST_TAGS = 4096
_MOST_VALUES = 2**20  # of one tag, except text and bytes

_TEXT_OR_BYTES = (1, 2, 7)
_SHORT = 3
_NEW_SUBFILE_TYPE = 254
_SMALLER_COPY, _MASK = 1, 4  # bits of it

_BEGINNINGS = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}


def is_tiff(beginning: bytes) -> bool:
    """Whether a file that begins so is a TIFF or a BigTIFF."""
    return beginning[:4] in _BEGINNINGS


@dataclasses.dataclass(frozen=True)
class Directories:
    """The directories of a TIFF's images.

    Attributes:
        images: where they are.
        beyond: why there may be more, which are not found; None: there are none.
    """

    images: tuple[int, ...]
    beyond: str | None = None


def tiff_directories(stream: BinaryIO) -> Directories:
    """Finds the directories of a TIFF's images: no smaller copies of others, and no masks.

    The first directory always counts. One after which the file is damaged is the last.

    Raises:
        UnreadableImage: the first directory is damaged.
    """
    stream.seek(0)
    beginning = stream.read(16)
    order = _BEGINNINGS[beginning[:4]]
    big = beginning[2:4] in (b"+\0", b"\0+")
    try:
        (following,) = struct.unpack_from(order + ("Q" if big else "I"), beginning, 8 if big else 4)
    except struct.error:
        raise UnreadableImage("truncated: a TIFF without a directory") from None
    found: list[int] = []
    seen: set[int] = set()
    beyond = None
    while following and following not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(following)
        try:
            kind, after = _directory(stream, following, order, big)
        except (UnreadableImage, OSError, OverflowError) as error:
            if not found:
                raise
            beyond = f"this page and any after it are not read: {error}"
            break
        if not found or not kind & (_SMALLER_COPY | _MASK):
            found.append(following)
        following = after
    if not found:
        raise UnreadableImage("truncated: a TIFF without a directory")
    if following and beyond is None:
        if following in seen:
            beyond = "damaged: the list of pages leads back to an earlier page"
        else:
            beyond = f"a TIFF of more than {_MOST_DIRECTORIES} pages; split it"
    return Directories(tuple(found), beyond)


def _directory(stream: BinaryIO, offset: int, order: str, big: bool) -> tuple[int, int]:
    """The NewSubfileType of one directory, and where the next one is; 0: nowhere."""
    count_format, entry_format, next_format = (
        (order + "Q", order + "HHQ8s", order + "Q")
        if big
        else (order + "H", order + "HHI4s", order + "I")
    )
    stream.seek(offset)
    try:
        (tags,) = struct.unpack(count_format, stream.read(struct.calcsize(count_format)))
    except struct.error:
        raise UnreadableImage("truncated: a TIFF without its directory") from None
    if tags > _MOST_TAGS:
        raise UnreadableImage(f"damaged: a TIFF of {tags} tags")
    size = struct.calcsize(entry_format)
    entries = stream.read(tags * size)
    if len(entries) < tags * size:
        raise UnreadableImage("truncated in the directory of a TIFF")
    kind = 0
    for code, typ, values, content in struct.iter_unpack(entry_format, entries):
        if values > _MOST_VALUES and typ not in _TEXT_OR_BYTES:
            raise UnreadableImage(f"damaged: {values} values in tag {code} of a TIFF")
        if code == _NEW_SUBFILE_TYPE and values == 1:
            short = typ == _SHORT
            kind = struct.unpack(order + ("H" if short else "I"), content[: 2 if short else 4])[0]
    end = stream.read(struct.calcsize(next_format))
    # Some writers leave out the end mark of the last directory.
    following = (
        struct.unpack(next_format, end)[0] if len(end) == struct.calcsize(next_format) else 0
    )
    return kind, following
