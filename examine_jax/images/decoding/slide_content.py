"""Whether a file is a whole slide by its content: a DICOM file of one, or a pyramid of a TIFF.

Reads the first bytes and the directories alone.
"""

import os
import stat
import struct
from typing import BinaryIO

from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.tiff_directory import (
    Tag,
    first_directory,
    is_of_scanner,
    is_tiff,
    number_in,
    read_directory,
    tag_bytes,
)
from examine_jax.images.decoding.unreadable import UnreadableImage

# VL Whole Slide Microscopy Image Storage, as a file's meta information holds it (PS3.4 B.5).
DICOM_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
# The third value of ImageType (PS3.3 C.8.12.4.1.1) of a file with a level of the slide. Others are
# LABEL, OVERVIEW and THUMBNAIL, and LOCALIZER in older files.
DICOM_LEVEL = "VOLUME"

_SOP_CLASS = b"\x02\0\x02\0UI"  # of the file, explicit and little-endian as PS3.10 has it
_META_BYTES = 1024

# A pyramid has few levels; a stack of pages may have many directories.
_MOST_DIRECTORIES = 64
_LARGEST_LEVEL = 0.75  # of the side of the level before it
_ASPECT = 0.1  # levels are rounded

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COLOURS, _TILE_WIDTH, _LEVELS = 254, 256, 257, 258, 262, 322, 330
_GREY_OR_COLOUR = (0, 1, 2, 3, 6)


def is_slide_file(path: str | os.PathLike[str]) -> bool:
    """Whether a plain file is a DICOM file of a whole slide, or a TIFF with smaller levels.

    A file that cannot be read is none: reading it gives the reason.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as stream:
            beginning = stream.read(BEGINNING)
            if is_dicom(beginning):
                return is_dicom_slide(beginning + stream.read(_META_BYTES))
            return is_tiff(beginning) and is_pyramid(stream)
    except (OSError, OverflowError, struct.error, UnreadableImage):
        return False


def has_inner_levels(path: str | os.PathLike[str]) -> bool:
    """Whether a TIFF keeps its smaller levels within its first page, as OME-TIFF does."""
    try:
        with open(path, "rb") as stream:
            if not is_tiff(stream.read(BEGINNING)):
                return False
            first, order, big = first_directory(stream)
            tags, _ = read_directory(stream, first, order, big)
            return _LEVELS in tags and _TILE_WIDTH in tags
    except (OSError, OverflowError, struct.error, UnreadableImage):
        return False


def is_dicom_slide(beginning: bytes) -> bool:
    """Whether a DICOM file that begins so belongs to a whole slide."""
    at = beginning.find(_SOP_CLASS, BEGINNING)
    if at < 0:
        return False
    start = at + len(_SOP_CLASS) + 2
    length = int.from_bytes(beginning[start - 2 : start], "little")
    return beginning[start : start + length].rstrip(b"\0 ") == DICOM_SLIDE.encode()


def is_pyramid(stream: BinaryIO) -> bool:
    """Whether a TIFF has 8 bits a sample, is stored in tiles, and has smaller copies in tiles.

    Raises:
        UnreadableImage, struct.error, OSError, OverflowError: it is damaged.
    """
    first, order, big = first_directory(stream)
    tags, following = read_directory(stream, first, order, big)
    width, height = _size(tags, order)
    if not (width and height and _TILE_WIDTH in tags and _is_shown(stream, tags, order)):
        return False
    marked = is_of_scanner(stream, tags, order)  # its levels are not marked as smaller copies
    seen = {first}
    levels = _offsets(stream, tags.get(_LEVELS), order)
    for _ in range(_MOST_DIRECTORIES):
        if following and following not in seen:
            at, is_level = following, marked
        elif levels:
            at, is_level = levels.pop(0), True
        else:
            return False
        seen.add(at)
        other, after = read_directory(stream, at, order, big)
        if at == following:
            following = after
        smaller = is_level or bool(number_in(other.get(_SUBFILE), order) & 1)
        if smaller and _TILE_WIDTH in other and _is_copy((width, height), _size(other, order)):
            return True
    return False


def _size(tags: dict[int, Tag], order: str) -> tuple[int, int]:
    return number_in(tags.get(_WIDTH), order), number_in(tags.get(_HEIGHT), order)


def _is_copy(whole: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether an image of a size may be a smaller copy of another."""
    (width, height), (columns, rows) = whole, size
    if not (0 < columns <= _LARGEST_LEVEL * width and 0 < rows <= max(1, _LARGEST_LEVEL * height)):
        return False
    return abs(columns / width - rows / height) <= max(
        _ASPECT * columns / width, 1 / width + 1 / height
    )


def _is_shown(stream: BinaryIO, tags: dict[int, Tag], order: str) -> bool:
    """Whether its samples have 8 bits, and its colours are those of pictures."""
    if number_in(tags.get(_COLOURS), order) not in _GREY_OR_COLOUR:
        return False
    bits = tags.get(_BITS)
    if bits is None or bits[1] == 1:
        return number_in(bits, order) == 8
    return set(_shorts(stream, bits, order)) == {8}


def _shorts(stream: BinaryIO, tag: Tag, order: str) -> tuple[int, ...]:
    count = min(tag[1], 16)
    return struct.unpack(f"{order}{count}H", tag_bytes(stream, tag, 2 * count, order))


def _offsets(stream: BinaryIO, tag: Tag | None, order: str) -> list[int]:
    """Where the directories that a tag lists are."""
    if tag is None:
        return []
    form, size = ("Q", 8) if tag[0] in (16, 18) else ("I", 4)
    count = min(tag[1], _MOST_DIRECTORIES)
    content = tag_bytes(stream, tag, size * count, order)
    return list(struct.unpack(f"{order}{count}{form}", content))
