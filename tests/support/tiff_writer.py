"""Writes TIFFs from the specification: any bits, planes, strips, tiles, byte order, compression."""

import lzma
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

import imagecodecs
import numpy as np

# Name -> tag value, and what encodes a segment.
COMPRESSIONS: Mapping[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (1, bytes),
    "LZW": (5, imagecodecs.lzw_encode),
    "deflate": (8, zlib.compress),
    "deflate, old number": (32946, zlib.compress),
    "PackBits": (32773, imagecodecs.packbits_encode),
    "LZMA": (34925, lzma.compress),
    "Zstandard": (50000, imagecodecs.zstd_encode),
}

# Codecs of images: these encode the values of a segment.
CODECS: Mapping[str, tuple[int, Callable[[np.ndarray], bytes]]] = {
    "JPEG 2000, lossless": (34712, lambda block: imagecodecs.jpeg2k_encode(block, reversible=True)),
    "JPEG 2000, lossy": (34712, lambda block: imagecodecs.jpeg2k_encode(block, level=60)),
    "WebP, lossless": (50001, lambda block: imagecodecs.webp_encode(block, lossless=True)),
}


def tiff_bytes(
    values: np.ndarray,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    compression: str = "none",
    predictor: int = 1,
    tile: int | None = None,
    rows_per_strip: int | None = None,
    planar: bool = False,
    big: bool = False,
    tags: Mapping[int, Sequence[int]] | None = None,
) -> bytes:
    """One image of values [height, width, samples].

    Args:
        values: their type says whether samples are unsigned, signed or floats.
        bits: of a sample in the file.
        photometric: PhotometricInterpretation.
        order: "<" or ">".
        compression: one of `COMPRESSIONS` or `CODECS`.
        predictor: 1 (none), 2 (differences) or 3 (differences of floats).
        tile: side of tiles; None: strips.
        rows_per_strip: None: one strip.
        planar: each channel by itself.
        big: BigTIFF.
        tags: further tags of shorts.
    """
    height, width, samples = values.shape
    number, encode = {**COMPRESSIONS, **CODECS}[compression]
    planes = [values[..., i : i + 1] for i in range(samples)] if planar else [values]
    rows, columns = (tile, tile) if tile else (rows_per_strip or height, width)
    segments = [
        encode(
            np.ascontiguousarray(block.squeeze())
            if compression in CODECS
            else _raw(block, bits, order, predictor)
        )
        for plane in planes
        for block in _blocks(plane, rows, columns, bool(tile))
    ]
    entries: dict[int, tuple[str, Sequence[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * samples),
        259: ("H", [number]),
        262: ("H", [photometric]),
        277: ("H", [samples]),
        284: ("H", [2 if planar else 1]),
        317: ("H", [predictor]),
        339: ("H", [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]] * samples),
        **({322: ("I", [tile]), 323: ("I", [tile])} if tile else {278: ("I", [rows])}),
        **{code: ("H", list(shorts)) for code, shorts in (tags or {}).items()},
    }
    counts = [len(segment) for segment in segments]
    entries[325 if tile else 279] = ("I", counts)
    entries[324 if tile else 273] = ("I", [0] * len(segments))
    # The size of all but the data does not depend on where the data are.
    start = len(_directory(entries, order, big))
    offsets = [start + sum(counts[:i]) for i in range(len(segments))]
    entries[324 if tile else 273] = ("I", offsets)
    return _directory(entries, order, big) + b"".join(segments)


def _blocks(plane: np.ndarray, rows: int, columns: int, padded: bool) -> list[np.ndarray]:
    height, width = plane.shape[:2]
    blocks = []
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            block = plane[y : y + rows, x : x + columns]
            if padded:
                missing = (rows - block.shape[0], columns - block.shape[1])
                block = np.pad(block, ((0, missing[0]), (0, missing[1]), (0, 0)))
            blocks.append(block)
    return blocks


def _raw(block: np.ndarray, bits: int, order: str, predictor: int) -> bytes:
    if predictor == 2:
        block = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1)
    if predictor == 3:
        return _float_differences(block)
    if bits == 8 * block.dtype.itemsize:
        return block.astype(block.dtype.newbyteorder(order)).tobytes()
    # Rows begin at a byte; the first bit is the highest, whatever the byte order.
    flat = block.reshape(len(block), -1).astype(np.int64)
    every_bit = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(every_bit.reshape(len(block), -1).astype(np.uint8), axis=1).tobytes()


def _float_differences(block: np.ndarray) -> bytes:
    """The bytes of a row by their significance, each as its difference to the pixel before."""
    size, samples = block.dtype.itemsize, block.shape[-1]
    parts = block.astype(block.dtype.newbyteorder(">")).reshape(len(block), -1).view(np.uint8)
    rows = parts.reshape(len(block), -1, size).transpose(0, 2, 1).reshape(len(block), -1)
    result = rows.copy()
    result[:, samples:] = rows[:, samples:] - rows[:, :-samples]
    return result.tobytes()


def _directory(entries: Mapping[int, tuple[str, Sequence[int]]], order: str, big: bool) -> bytes:
    """The file up to its data: header, directory and the values that do not fit into it."""
    inline, pointer = (8, "Q") if big else (4, "I")
    header = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    header += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    entry_size = 20 if big else 12
    outside_at = len(header) + (8 if big else 2) + entry_size * len(entries) + inline
    listed, outside = b"", b""
    for code, (kind, values) in sorted(entries.items()):
        content = struct.pack(f"{order}{len(values)}{kind}", *values)
        listed += struct.pack(order + "HH" + pointer, code, {"H": 3, "I": 4}[kind], len(values))
        if len(content) <= inline:
            listed += content.ljust(inline, b"\0")
        else:
            listed += struct.pack(order + pointer, outside_at + len(outside))
            outside += content.ljust(math.ceil(len(content) / 2) * 2, b"\0")
    count = struct.pack(order + ("Q" if big else "H"), len(entries))
    return header + count + listed + b"\0" * inline + outside
