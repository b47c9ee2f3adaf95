"""Decodes a tall strip of a TIFF in bands of rows, so that it takes little more than its bytes.

Deflate and LZMA are decompressed as the rows are asked for. Of others, the decompressed bytes are
held once; predictors and byte order are undone by band.
"""

import copy
import lzma
import math
import zlib
from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np
from tifffile import TIFF, TiffPage

from examine_jax.common.shapes import Shaped
from examine_jax.images.decoding.unreadable import UnreadableImage

_NONE, _REVERSED_BITS = 1, 2
_DEFLATE, _LZMA = (8, 32946, 50013), 34925

# Smaller strips are decompressed at once, which is faster.
_STREAMED_BYTES = 2**26

# Compressed bytes that are handed to a decompressor at a time.
_PIECE = 2**20

# The next bytes of a strip, of this number or fewer at its end.
Take = Callable[[int], bytes | memoryview]


def strip_bands(
    page: TiffPage, data: bytes, rows: int, most: int
) -> Iterator[Shaped[np.ndarray, "rows width samples"]]:
    """The samples of one strip, some rows at a time, in native order.

    Args:
        page: not tiled, its samples not packed by an image format.
        data: the strip, compressed.
        rows: of the strip.
        most: rows of a band.

    Raises:
        UnreadableImage: the strip ends early.
        Exception: it is damaged; any kind, from its decoder.
    """
    samples = 1 if page.planarconfig == 2 else page.samplesperpixel
    row_bytes = math.ceil(page.imagewidth * samples * page.bitspersample / 8)
    if page.fillorder == _REVERSED_BITS:
        data = bytes(imagecodecs.bitorder_decode(data))
    take = _taken(page.compression, data, rows * row_bytes)
    for top in range(0, rows, most):
        count = min(most, rows - top)
        content = take(count * row_bytes)
        if len(content) < count * row_bytes:
            raise UnreadableImage("truncated: a strip or tile that lacks rows or columns")
        plain = _uncompressed(page, count)
        yield np.asarray(plain.decode(content, 0)[0])[0]


def _uncompressed(page: TiffPage, rows: int) -> TiffPage:
    """The same page, as if it were not compressed and a strip had so many rows."""
    plain = copy.copy(page)
    for cached in ("decode", "hash"):
        vars(plain).pop(cached, None)
    plain.compression, plain.rowsperstrip, plain.fillorder = _NONE, rows, 1
    return plain


def _taken(compression: int, data: bytes, size: int) -> Take:
    if size > _STREAMED_BYTES and compression in _DEFLATE:
        return _inflated(data)
    if size > _STREAMED_BYTES and compression == _LZMA:
        return _streamed(lzma.LZMADecompressor(), data)
    plain = data if compression == _NONE else TIFF.DECOMPRESSORS[compression](data, out=size)
    rest = memoryview(plain)

    def take(count: int) -> memoryview:
        nonlocal rest
        taken, rest = rest[:count], rest[count:]
        return taken

    return take


def _inflated(data: bytes) -> Take:
    inflater, waiting = zlib.decompressobj(), memoryview(data)

    def take(count: int) -> bytes:
        nonlocal waiting
        parts: list[bytes] = []
        while count > 0 and not inflater.eof:
            piece: bytes | memoryview = inflater.unconsumed_tail
            if not piece:
                piece, waiting = waiting[:_PIECE], waiting[_PIECE:]
            part = inflater.decompress(piece, count)
            if not part and not len(piece):
                break
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    return take


def _streamed(decompressor: lzma.LZMADecompressor, data: bytes) -> Take:
    waiting = memoryview(data)

    def take(count: int) -> bytes:
        nonlocal waiting
        parts: list[bytes] = []
        while count > 0 and not decompressor.eof:
            piece: bytes | memoryview = b""
            if decompressor.needs_input:
                piece, waiting = waiting[:_PIECE], waiting[_PIECE:]
                if not len(piece):
                    break
            part = decompressor.decompress(piece, count)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    return take
