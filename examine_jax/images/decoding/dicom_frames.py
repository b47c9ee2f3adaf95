"""Finds the frames of a DICOM file's pixel data, and which of them are missing.

Decodes nothing. Frames that are not compressed lie one after the other. Compressed frames lie in
fragments. Tables of offsets are often wrong, so a table is used only where the fragments do not say
by themselves which frame they belong to, and only if each of its offsets is a fragment's.
"""

import dataclasses
import io
import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from examine_jax.images.decoding.unreadable import UnreadableImage

_ITEM, _ITEM_DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0"
_UNDEFINED = 0xFFFFFFFF

# How the first bytes of a compressed frame look: JPEG and JPEG-LS, JPEG 2000, JP2, RLE (the number
# of segments, and where the first one is).
_BEGINNINGS = (
    b"\xff\xd8\xff",
    b"\xff\x4f\xff\x51",
    b"\x00\x00\x00\x0cjP  ",
    *(bytes([segments, 0, 0, 0, 64, 0, 0, 0]) for segments in range(1, 16)),
)

# Elements of pixels, and value representations whose length has 4 bytes.
_PIXELS, _FLOATS = 0x7FE00010, (0x7FE00008, 0x7FE00009)
_LONG = (b"OB", b"OW", b"OF", b"OD", b"UN")


@dataclasses.dataclass(frozen=True)
class Fragment:
    """A part of a compressed frame.

    Attributes:
        start: of its item, in bytes after the first fragment's.
        offset: of its content in the stream.
        length: bytes that the stream has of it.
        whole: the stream has all of it.
    """

    start: int
    offset: int
    length: int
    whole: bool


@dataclasses.dataclass(frozen=True)
class PixelData:
    """Where a file's frames are.

    Attributes:
        stream: the file, or its content after inflating.
        offset: of the pixels in it.
        representation: the value representation, such as "OW".
        frames: of compressed frames, the fragments of each; None: they are not compressed.
        count: the frames that are there as a whole, where they are not compressed.
        more: frames that are there beyond those that the header declares.
    """

    stream: BinaryIO | io.BytesIO
    offset: int
    representation: str
    frames: tuple[tuple[Fragment, ...], ...] | None
    count: int
    more: int

    def missing(self, index: int) -> bool:
        """Whether the file ends before this frame does."""
        if self.frames is None:
            return index >= self.count
        return index >= len(self.frames) or not all(part.whole for part in self.frames[index])

    def compressed(self, index: int) -> bytes:
        """The content of one compressed frame."""
        assert self.frames is not None
        parts = []
        for part in self.frames[index]:
            self.stream.seek(part.offset)
            parts.append(self.stream.read(part.length))
        return b"".join(parts)


def find_frames(stream: BinaryIO, header: pydicom.Dataset, count: int) -> PixelData:
    """Finds the frames of a file.

    Args:
        stream: the file, after its header, as pydicom leaves it.
        header: the file's, with a transfer syntax.
        count: frames that it declares.

    Raises:
        UnreadableImage: there are no pixels, or none in integers.
    """
    syntax = header.file_meta.TransferSyntaxUID
    if syntax == DeflatedExplicitVRLittleEndian:
        return _inflated(stream, header, count)
    little = syntax.is_little_endian
    tag, representation, length = _element(stream, little, bool(header.original_encoding[0]))
    if tag in _FLOATS:
        raise UnreadableImage(
            "DICOM pixels in floating point, which are not read; export it as 16-bit TIFF"
        )
    if tag != _PIXELS:
        raise UnreadableImage("a DICOM file without pixels; remove it")
    offset = stream.tell()
    held = stream.seek(0, io.SEEK_END) - offset
    if syntax.is_encapsulated:
        table, fragments = _fragments(stream, offset)
        extended = _extended_offsets(header, count)
        frames = _frames(stream, table, fragments, count, extended)
        more = _more_fragments(stream, fragments, count)
        return PixelData(stream, offset, representation, frames, len(frames), more)
    if length == _UNDEFINED:
        raise UnreadableImage("compressed DICOM pixels in a file that says they are not")
    return _uncompressed(stream, offset, representation, min(length, held), header, count)


def _inflated(stream: BinaryIO, header: pydicom.Dataset, count: int) -> PixelData:
    """A deflated stream has no random access: pydicom inflates it."""
    stream.seek(0)
    element = pydicom.dcmread(stream, force=True).get("PixelData", b"")
    content = bytes(element) if element else b""
    return _uncompressed(io.BytesIO(content), 0, "OW", len(content), header, count)


def _uncompressed(
    stream: BinaryIO | io.BytesIO,
    offset: int,
    representation: str,
    held: int,
    header: pydicom.Dataset,
    count: int,
) -> PixelData:
    """The frames that so many bytes hold."""
    bits = _frame_bits(held, header)
    whole = held * 8 // bits if bits else 0
    rest = held - math.ceil(count * bits / 8)
    more = rest * 8 // bits if bits and rest > 1 else 0  # One byte makes the length even.
    return PixelData(stream, offset, representation, None, whole, more)


def _element(stream: BinaryIO, little: bool, implicit: bool) -> tuple[int, str, int]:
    """(tag, value representation, length) of the next element; 0, "", 0: there is none."""
    order = "<" if little else ">"
    head = stream.read(8)
    if len(head) < 8:
        return 0, "", 0
    group, number = struct.unpack(f"{order}HH", head[:4])
    tag = group << 16 | number
    if implicit:
        return tag, "OW", struct.unpack(f"{order}I", head[4:])[0]
    if head[4:6] in _LONG:
        tail = stream.read(4)
        length = struct.unpack(f"{order}I", tail)[0] if len(tail) == 4 else 0
    else:
        (length,) = struct.unpack(f"{order}H", head[6:])
    return tag, head[4:6].decode("ascii", "replace"), length


def _frame_bits(held: int, header: pydicom.Dataset) -> int:
    """The bits of a frame that is not compressed, where so many bytes are held."""
    samples = header.Rows * header.Columns * header.get("SamplesPerPixel", 1)
    bits = samples * header.BitsAllocated
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":
        declared = int(header.get("NumberOfFrames") or 1)
        if held >= declared * bits // 8:
            raise UnreadableImage(
                "as many DICOM pixels as without chroma subsampling, and colours as YBR_FULL_422; "
                "correct its header"
            )
        bits = bits * 2 // 3
    return int(bits)


def _extended_offsets(header: pydicom.Dataset, count: int) -> tuple[int, ...]:
    found: Any = header.get("ExtendedOffsetTable")
    if not isinstance(found, bytes) or len(found) != 8 * count:
        return ()
    return struct.unpack(f"<{count}Q", found)


def _frames(
    stream: BinaryIO,
    table: bytes,
    fragments: Sequence[Fragment],
    count: int,
    extended: Sequence[int],
) -> tuple[tuple[Fragment, ...], ...]:
    """The fragments of each frame."""
    filled = [part for part in fragments if part.length]
    if count == 1:
        return (tuple(filled),) if filled else ()
    for parts in (fragments, filled):
        if len(parts) == count:
            return tuple((part,) for part in parts)
    basic = struct.unpack(f"<{count}I", table) if len(table) == 4 * count else ()
    for starts in (extended, basic):
        if _fits(starts, filled):
            return _between(starts, filled)
    if len(filled) > count:
        found = [part.start for part in filled if _begins(stream, part)]
        if found and found[0] == filled[0].start:
            return _between(found, filled)
    return tuple((part,) for part in filled)


def _more_fragments(stream: BinaryIO, fragments: Sequence[Fragment], count: int) -> int:
    """The frames beyond the declared ones that fragments hold."""
    filled = [part for part in fragments if part.length]
    if len(filled) <= count:
        return 0
    return max(0, sum(_begins(stream, part) for part in filled) - count)


def _fragments(stream: BinaryIO, offset: int) -> tuple[bytes, list[Fragment]]:
    """The basic offset table, and the fragments after it."""
    end = stream.seek(0, io.SEEK_END)
    position, first, table = offset, None, b""
    fragments: list[Fragment] = []
    while True:
        stream.seek(position)
        head = stream.read(9)
        if head[1:5] == _ITEM or head[1:5] == _ITEM_DELIMITER[:2] + b"\xdd\xe0":
            position, head = position + 1, head[1:]  # the padding that an odd length lacks
            head += stream.read(1)
        if head[:4] != _ITEM or len(head) < 8:
            return table, fragments
        length = int.from_bytes(head[4:8], "little")
        content = position + 8
        if first is None:
            if length == _UNDEFINED or content + length > end:
                return table, fragments
            stream.seek(content)
            table = stream.read(length)
            first = content + length
        else:
            held = min(length, max(end - content, 0))
            fragments.append(Fragment(position - first, content, held, held == length))
        position = content + length


def _fits(starts: Sequence[int], fragments: Sequence[Fragment]) -> bool:
    known = {part.start for part in fragments}
    ascending = all(one < other for one, other in itertools.pairwise(starts))
    return bool(starts) and starts[0] == 0 and ascending and known.issuperset(starts)


def _between(
    starts: Sequence[int], fragments: Sequence[Fragment]
) -> tuple[tuple[Fragment, ...], ...]:
    ends = [*starts[1:], math.inf]
    return tuple(
        tuple(part for part in fragments if start <= part.start < end)
        for start, end in zip(starts, ends)
    )


def _begins(stream: BinaryIO, fragment: Fragment) -> bool:
    stream.seek(fragment.offset)
    return stream.read(12).startswith(_BEGINNINGS)
