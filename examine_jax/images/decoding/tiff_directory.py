"""Finds the images in a TIFF by its directories alone, before a library reads their tags.

A directory that names itself, or that holds millions of numbers, costs neither time nor memory.
"""

import dataclasses
import re
import struct
from typing import BinaryIO

from examine_jax.images.decoding.unreadable import UnreadableImage

_MOST_DIRECTORIES = 100_000  # each becomes an image with a name
_MOST_TAGS = 4096
_MOST_VALUES = 2**20  # of one tag, except text and bytes

_TEXT_OR_BYTES = (1, 2, 7)
# Types of whole numbers: bytes, shorts, longs, offsets, and their like in a BigTIFF.
_WHOLE = {1: "B", 3: "H", 4: "I", 9: "I", 13: "I", 16: "Q", 18: "Q"}
_NEW_SUBFILE_TYPE = 254
_SMALLER_COPY, _MASK = 1, 4  # bits of it
_DESCRIPTION, _SOFTWARE, _XMP = 270, 305, 700
_TEXT_BYTES = 4096

# Texts by which files of slide scanners are known. Their pages may lack a NewSubfileType.
_SCANNERS = {_DESCRIPTION: b"Aperio", _SOFTWARE: b"Philips", _XMP: b"iScan"}
# Their photographs of a slide's label, and of the whole slide with it, may carry names. Ventana's
# files begin with one.
_LABEL = re.compile(rb"(?:\A|\n)\s*(?:label|macro)(?![a-z0-9])", re.IGNORECASE)
_FIRST_LABEL = re.compile(rb"\A\s*label[ _]image", re.IGNORECASE)

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

    Photographs of a slide's label are left out too. Else the first directory always counts. One
    after which the file is damaged is the last.

    Raises:
        UnreadableImage: the first directory is damaged.
    """
    following, order, big = first_directory(stream)
    found: list[int] = []
    seen: set[int] = set()
    beyond = None
    scanner = labels = False
    while following and following not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(following)
        try:
            tags, after = read_directory(stream, following, order, big)
            kind = number_in(tags.get(_NEW_SUBFILE_TYPE), order)
            if len(seen) == 1:
                scanner = is_of_scanner(stream, tags, order)
            pattern = _FIRST_LABEL if len(seen) == 1 else _LABEL
            text = tag_text(stream, tags, _DESCRIPTION, order) if scanner else b""
        except (UnreadableImage, OSError, OverflowError) as error:
            if not found:
                raise
            beyond = f"this page and any after it are not read: {error}"
            break
        if pattern.search(text):
            labels = True
        elif not found or not kind & (_SMALLER_COPY | _MASK):
            found.append(following)
        following = after
    if not found:
        raise UnreadableImage(
            "the label of a slide, which may carry names"
            if labels
            else "truncated: a TIFF without a directory"
        )
    if following and beyond is None:
        if following in seen:
            beyond = "damaged: the list of pages leads back to an earlier page"
        else:
            beyond = f"a TIFF of more than {_MOST_DIRECTORIES} pages; split it"
    return Directories(tuple(found), beyond)


# Type, number of values, and the bytes that hold them or where they are.
Tag = tuple[int, int, bytes]


def read_directory(
    stream: BinaryIO, offset: int, order: str, big: bool
) -> tuple[dict[int, Tag], int]:
    """The tags of one directory by their codes, and where the next one is; 0: nowhere.

    Raises:
        UnreadableImage: it is damaged.
    """
    count_format, entry_format, next_format = (
        (order + "Q", order + "HHQ8s", order + "Q")
        if big
        else (order + "H", order + "HHI4s", order + "I")
    )
    stream.seek(offset)
    try:
        (count,) = struct.unpack(count_format, stream.read(struct.calcsize(count_format)))
    except struct.error:
        raise UnreadableImage("truncated: a TIFF without its directory") from None
    if count > _MOST_TAGS:
        raise UnreadableImage(f"damaged: a TIFF of {count} tags")
    size = struct.calcsize(entry_format)
    entries = stream.read(count * size)
    if len(entries) < count * size:
        raise UnreadableImage("truncated in the directory of a TIFF")
    tags: dict[int, Tag] = {}
    for code, typ, values, content in struct.iter_unpack(entry_format, entries):
        if values > _MOST_VALUES and typ not in _TEXT_OR_BYTES:
            raise UnreadableImage(f"damaged: {values} values in tag {code} of a TIFF")
        tags.setdefault(code, (typ, values, content))
    end = stream.read(struct.calcsize(next_format))
    # Some writers leave out the end mark of the last directory.
    following = (
        struct.unpack(next_format, end)[0] if len(end) == struct.calcsize(next_format) else 0
    )
    return tags, following


def number_in(tag: Tag | None, order: str) -> int:
    """The one whole number of a tag; 0: there is none."""
    if tag is None or tag[1] != 1 or tag[0] not in _WHOLE:
        return 0
    form = _WHOLE[tag[0]]
    size = struct.calcsize(form)
    return int(struct.unpack(order + form, tag[2][:size])[0]) if size <= len(tag[2]) else 0


def first_directory(stream: BinaryIO) -> tuple[int, str, bool]:
    """Where a TIFF's first directory is, its byte order, and whether it is a BigTIFF.

    Raises:
        UnreadableImage: it ends before that.
    """
    stream.seek(0)
    beginning = stream.read(16)
    order = _BEGINNINGS[beginning[:4]]
    big = beginning[2:4] in (b"+\0", b"\0+")
    try:
        (first,) = struct.unpack_from(order + ("Q" if big else "I"), beginning, 8 if big else 4)
    except struct.error:
        raise UnreadableImage("truncated: a TIFF without a directory") from None
    return first, order, big


def is_of_scanner(stream: BinaryIO, tags: dict[int, Tag], order: str) -> bool:
    """Whether a file with this first directory is one of a slide scanner."""
    return _FIRST_LABEL.match(tag_text(stream, tags, _DESCRIPTION, order)) is not None or any(
        word in tag_text(stream, tags, code, order) for code, word in _SCANNERS.items()
    )


def tag_text(stream: BinaryIO, tags: dict[int, Tag], code: int, order: str) -> bytes:
    """The first 4096 bytes of a text; b"": there is none."""
    tag = tags.get(code)
    return b"" if tag is None else tag_bytes(stream, tag, min(tag[1], _TEXT_BYTES), order)


def tag_bytes(stream: BinaryIO, tag: Tag, size: int, order: str) -> bytes:
    """The first bytes of a tag's values, which lie in it or elsewhere."""
    if size <= len(tag[2]):
        return tag[2][:size]
    stream.seek(struct.unpack(order + ("Q" if len(tag[2]) == 8 else "I"), tag[2])[0])
    return stream.read(size)
