"""DICOM colours: palettes and luma with chroma, as PS3.3 C.7.6.3 and C.7.9 define them.

pydicom's own functions take palettes as little-endian and all colours as 8 bits.
"""

from typing import Any

import numpy as np
import pydicom

from examine_jax.common.shapes import Float, Num
from examine_jax.images.decoding.dicom_grey import entries, look_up
from examine_jax.images.decoding.unreadable import UnreadableImage

_CHANNELS = ("Red", "Green", "Blue")

_MOST_ENTRIES = 2**16


def colour(
    pixels: Num[np.ndarray, "height width 3"], photometric: str, bits: int
) -> Float[np.ndarray, "height width 3"]:
    """Samples of this photometric interpretation as RGB from 0 to 1.

    Raises:
        UnreadableImage: the interpretation is not read.
    """
    values = pixels.astype(np.float32)
    white = np.float32(2.0**bits - 1)
    if photometric in ("YBR_FULL", "YBR_FULL_422"):
        luma = values[..., 0]
        blue, red = (values[..., channel] - np.float32(2.0 ** (bits - 1)) for channel in (1, 2))
        values = np.stack(
            [
                luma + np.float32(1.402) * red,
                luma - np.float32(0.344136) * blue - np.float32(0.714136) * red,
                luma + np.float32(1.772) * blue,
            ],
            axis=-1,
        )
    elif photometric != "RGB":
        raise UnreadableImage(
            f"DICOM colours as {photometric!r}, which are not read; export it as PNG"
        )
    return np.clip(values / white, 0, 1)


def palette_colour(
    pixels: Num[np.ndarray, "height width"], header: pydicom.Dataset
) -> Float[np.ndarray, "height width 3"]:
    """Indices into the file's palette as RGB from 0 to 1.

    Tables of 16 bits without an entry above 255 hold 8 bits.

    Raises:
        UnreadableImage: a table is missing or damaged.
    """
    tables, bits = [], 8
    for channel in _CHANNELS:
        descriptor = header.get(f"{channel}PaletteColorLookupTableDescriptor")
        if descriptor is None:
            raise UnreadableImage(f"DICOM palette colours without a table of {channel.lower()}")
        count, first, depth = (int(value) for value in descriptor)
        table = _table(header, channel, count or _MOST_ENTRIES, depth)
        tables.append((table, first))
        bits = max(bits, int(table.max()).bit_length())
    white = np.float32(2.0 ** (16 if bits > 8 else 8) - 1)
    shown = [look_up(pixels, table, first) for table, first in tables]
    return np.stack(shown, axis=-1).astype(np.float32) / white


def _table(
    header: pydicom.Dataset, channel: str, count: int, depth: int
) -> Num[np.ndarray, "entries"]:
    plain = header.get(f"{channel}PaletteColorLookupTableData")
    if plain is not None:
        return entries(plain, count, depth, header)
    segmented = header.get(f"Segmented{channel}PaletteColorLookupTableData")
    if not isinstance(segmented, bytes):
        raise UnreadableImage(f"DICOM palette colours without a table of {channel.lower()}")
    found = np.array(_expanded(segmented, count, depth, _is_little(header)), np.int64)
    if len(found) < count:
        raise UnreadableImage(
            f"a DICOM lookup table of {len(found)} entries, where its header says {count}"
        )
    return found[:count]


def _is_little(header: Any) -> bool:
    return bool(header.file_meta.TransferSyntaxUID.is_little_endian)


def _expanded(data: bytes, count: int, depth: int, little: bool) -> list[int]:
    """The entries of a segmented table (C.7.9.2), at most `count`."""
    if depth <= 8 and not little:  # Two entries lie in a word of 16 bits.
        data = np.frombuffer(data[: len(data) // 2 * 2], np.uint16).byteswap().tobytes()
    words = np.frombuffer(
        data[: len(data) // 2 * 2] if depth > 8 else data,
        np.dtype("u1" if depth <= 8 else "<u2" if little else ">u2"),
    ).tolist()
    result: list[int] = []

    def segment(at: int) -> int:
        """Appends what the segment here says; returns where the next one is."""
        kind, length = words[at], words[at + 1]
        if kind == 0:  # entries
            result.extend(words[at + 2 : at + 2 + length])
            return at + 2 + length
        if kind == 1:  # a line from the entry before to this one
            before, last = result[-1], words[at + 2]
            steps = np.arange(1, length + 1) * ((last - before) / max(length, 1))
            result.extend(np.rint(before + steps).astype(int).tolist())
            return at + 3
        if kind != 2:
            raise IndexError
        width = 4 if depth <= 8 else 2  # segments again, from this byte on
        parts = words[at + 2 : at + 2 + width]
        start = sum(part << (depth_bits * one) for one, part in enumerate(parts))
        start //= 1 if depth <= 8 else 2
        for _ in range(length):
            if words[start] == 2:
                raise IndexError
            if len(result) >= count:
                break
            start = segment(start)
        return at + 2 + width

    depth_bits = 8 if depth <= 8 else 16
    position = 0
    try:
        while position + 1 < len(words) and len(result) < count:
            position = segment(position)
    except IndexError:
        raise UnreadableImage("a damaged DICOM palette of segments") from None
    return result[:count]
