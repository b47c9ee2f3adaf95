"""Writes PNGs and BMPs from their specifications: every depth, colour type and packing."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG's colour types

# First row, first column, step of rows, step of columns of each pass.
_ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def png_bytes(
    values: np.ndarray,
    bits: int,
    colour_type: int,
    *,
    interlaced: bool = False,
    palette: np.ndarray | None = None,
    transparency: bytes = b"",
) -> bytes:
    """A PNG of values [height, width, samples]. Rows take filters 0, 1 and 2 in turn."""
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlaced)
    parts = [values[y::dy, x::dx] for y, x, dy, dx in _ADAM7] if interlaced else [values]
    rows = b"".join(_filtered(_packed(part, bits), bits, part.shape[-1]) for part in parts)
    chunks = _chunk(b"IHDR", header)
    if palette is not None:
        chunks += _chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparency:
        chunks += _chunk(b"tRNS", transparency)
    end = _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks + _chunk(b"IDAT", zlib.compress(rows)) + end


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Rows of bytes [height, bytes]."""
    if bits == 16:
        return values.astype(">u2").reshape(len(values), -1).view(np.uint8)
    flat = values.reshape(len(values), -1)
    if bits == 8:
        return flat.astype(np.uint8)
    every_bit = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(every_bit.reshape(len(values), -1).astype(np.uint8), axis=1)


def _filtered(rows: np.ndarray, bits: int, samples: int) -> bytes:
    step = max(1, bits * samples // 8)
    result = b""
    for index, row in enumerate(rows):
        kind = index % 3 if index else 0
        if kind == 1:
            row = row - np.concatenate([np.zeros(step, np.uint8), row[:-step]])
        elif kind == 2:
            row = row - rows[index - 1]
        result += bytes([kind]) + row.tobytes()
    return result


def bmp_bytes(
    pixels: bytes,
    width: int,
    height: int,
    bits: int,
    *,
    packing: int = 0,
    palette: np.ndarray | None = None,
    masks: Sequence[int] = (),
) -> bytes:
    """A BMP around its pixels. `packing` 1 is RLE8, 2 RLE4, 3 names masks; height < 0: top-down."""
    size = 108 if len(masks) == 4 else 40
    colours = b"" if palette is None else np.pad(palette[:, ::-1], ((0, 0), (0, 1))).tobytes()
    count = 0 if palette is None else len(palette)
    header = struct.pack(
        "<IiiHHIIiiII", size, width, height, 1, bits, packing, len(pixels), 2835, 2835, count, 0
    )
    after = struct.pack(f"<{len(masks)}I", *masks)
    body = (header + after).ljust(max(size, 40 + len(after)), b"\0") + colours
    start = 14 + len(body)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + body + pixels


def bmp_rows(values: np.ndarray, bits: int, top_down: bool = False) -> bytes:
    """Rows [height, width * samples] packed to multiples of four bytes, from the bottom up."""
    if bits < 8:
        rows = _packed(values[..., None], bits)
    else:
        rows = np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    return (rows if top_down else rows[::-1]).tobytes()


def bmp_runs(values: np.ndarray, bits: int) -> bytes:
    """RLE8 or RLE4: runs of two equal pixels, then single ones."""
    result = b""
    for row in values[::-1].tolist():
        x = 0
        while x < len(row):
            run = 2 if x + 1 < len(row) and row[x] == row[x + 1] else 1
            result += bytes([run, row[x] if bits == 8 else row[x] << 4 | row[x]])
            x += run
        result += b"\0\0"
    return result + b"\0\1"
