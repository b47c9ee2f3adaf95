"""Reads the samples of one TIFF image in bands of rows, by tifffile and imagecodecs.

A band is a few million pixels, so an image of any size takes little memory, except where the file
keeps it as one strip that is compressed other than by deflate or LZMA.
"""

import dataclasses
import io
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from PIL import Image
from tifffile import TiffPage

from examine_jax.common.shapes import Shaped
from examine_jax.images.decoding.resize import BAND_PIXELS
from examine_jax.images.decoding.tiff_strips import strip_bands
from examine_jax.images.decoding.unreadable import UnreadableImage

_MOST_SEGMENTS = 2**20

_NONE, _JPEG, _JPEG_AS_DNG, _WEBP = 1, 7, 33007, 50001
_JPEG_2000 = (33003, 33004, 33005, 34712)
_FAX = (2, 3, 4)
_BOUNDED = (5, 8, 32946, 50013, 32773, 34925, 50000)  # LZW, deflate, PackBits, LZMA, Zstandard
_READ = (_NONE, _JPEG, _JPEG_AS_DNG, _WEBP, *_JPEG_2000, *_FAX, *_BOUNDED)
_PREDICTORS = (1, 2, 3)
_LAB = (8, 9, 10)

_WHOLE_BYTES = (8, 16, 32, 64)


@dataclasses.dataclass(frozen=True, eq=False)
class _Segments:
    """How a page is cut into strips or tiles.

    Attributes:
        height, width: of one, in pixels.
        across, down: how many cover the image.
        planes: 1, or how many channels lie by themselves.
        samples: channels in one.
    """

    height: int
    width: int
    across: int
    down: int
    planes: int
    samples: int


def check_samples(page: TiffPage, max_bytes: int) -> None:
    """Refuses a page whose samples are not read, before anything is decoded.

    Raises:
        UnreadableImage: says what the samples are.
    """
    if page.sampleformat in (5, 6):
        raise UnreadableImage("a TIFF of complex samples, which are not read; save real ones")
    if page.dtype is None or isinstance(page.bitspersample, tuple):
        bits = "/".join(map(str, np.atleast_1d(page.bitspersample)))
        raise UnreadableImage(
            f"a TIFF of {bits}-bit samples, which are not read; save 8 or 16 bits"
        )
    if page.imagedepth != 1:
        raise UnreadableImage("a TIFF that stores a volume as one image; save its slices as pages")
    if page.compression not in _READ:
        name = getattr(page.compression, "name", f"scheme {int(page.compression)}")
        raise UnreadableImage(f"a TIFF compressed by {name}, which is not read; save it by deflate")
    if page.compression in (_NONE, *_BOUNDED) and page.predictor not in _PREDICTORS:
        raise UnreadableImage(f"a TIFF of predictor {int(page.predictor)}, which is not read")
    if page.is_subsampled and page.compression not in (_JPEG, _JPEG_AS_DNG):
        raise UnreadableImage("a TIFF of subsampled YCbCr without JPEG compression; save it as RGB")
    segments = _segments(page)
    expected = segments.across * segments.down * segments.planes
    if expected > _MOST_SEGMENTS:
        raise UnreadableImage(f"a TIFF in {expected} strips or tiles; save it in fewer")
    if min(len(page.dataoffsets), len(page.databytecounts)) < expected:
        raise UnreadableImage(
            f"damaged: a TIFF in {expected} strips or tiles that lists {len(page.dataoffsets)}"
        )
    decoded = segments.height * segments.width * segments.samples * page.dtype.itemsize
    if decoded > max_bytes and not _is_plain(page):
        raise UnreadableImage(
            f"a TIFF of strips or tiles of {decoded} bytes, more than max_bytes={max_bytes}"
        )


def sample_type(page: TiffPage) -> "np.dtype[Any]":
    """The type of a page's samples in memory."""
    return np.dtype(page.dtype)


def sample_bands(
    stream: BinaryIO, page: TiffPage
) -> Iterator[Shaped[np.ndarray, "rows width samples"]]:
    """The samples of a page that `check_samples` accepts, from the top down, in native order.

    Raises:
        UnreadableImage: the file ends early.
        Exception: a strip or tile is damaged; any kind, from its decoder.
    """
    segments = _segments(page)
    height, width = page.imagelength, page.imagewidth
    limit = max(1, BAND_PIXELS // width)
    if segments.across * segments.planes == 1 and segments.height > limit and not _is_plain(page):
        # Each strip is a picture of its own: its rows are given as they lie there.
        for index in range(segments.down):
            rows = min(segments.height, height - index * segments.height)
            if page.compression in (_NONE, *_BOUNDED):
                data = _read(stream, page.dataoffsets[index], page.databytecounts[index])
                yield from strip_bands(page, data, rows, limit)
                continue
            strip = _decoded(stream, page, segments, index, rows, width)
            for top in range(0, rows, limit):
                yield strip[top : top + limit]
        return
    step = 1 if _is_plain(page) else segments.height
    rows = max(step, limit // step * step)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = np.empty((bottom - top, width, segments.planes * segments.samples), page.dtype)
        for plane in range(segments.planes):
            target = band[..., plane * segments.samples : (plane + 1) * segments.samples]
            copy = _copy_plain if _is_plain(page) else _copy_decoded
            copy(stream, page, segments, plane, top, target)
        yield band


def sample_tile(
    stream: BinaryIO, page: TiffPage, row: int, column: int
) -> Shaped[np.ndarray, "rows columns samples"]:
    """The part of one tile that is in the image, of a page that `check_samples` accepts.

    Raises:
        UnreadableImage, Exception: as `sample_bands`.
    """
    segments = _segments(page)
    rows = min(segments.height, page.imagelength - row * segments.height)
    columns = min(segments.width, page.imagewidth - column * segments.width)
    planes = [
        _decoded(
            stream,
            page,
            segments,
            (plane * segments.down + row) * segments.across + column,
            rows,
            columns,
        )
        for plane in range(segments.planes)
    ]
    return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)


def _segments(page: TiffPage) -> _Segments:
    tiled = page.is_tiled
    height = page.tilelength if tiled else page.rowsperstrip
    width = page.tilewidth if tiled else page.imagewidth
    if min(height, width, page.imagelength, page.imagewidth) < 1:
        raise UnreadableImage("damaged: a TIFF with a side of 0 pixels")
    separate = page.planarconfig == 2 and page.samplesperpixel > 1
    return _Segments(
        height,
        width,
        math.ceil(page.imagewidth / width),
        math.ceil(page.imagelength / height),
        page.samplesperpixel if separate else 1,
        1 if separate else page.samplesperpixel,
    )


def _is_plain(page: TiffPage) -> bool:
    """Whether rows can be read without decoding a strip."""
    return (
        page.compression == _NONE
        and page.predictor == 1
        and page.fillorder == 1
        and page.bitspersample in _WHOLE_BYTES
        and not page.is_tiled
    )


def _copy_plain(
    stream: BinaryIO,
    page: TiffPage,
    segments: _Segments,
    plane: int,
    top: int,
    target: Shaped[np.ndarray, "rows width samples"],
) -> None:
    stored = sample_type(page).newbyteorder(page.parent.byteorder)
    row_bytes = page.imagewidth * segments.samples * stored.itemsize
    done = 0
    while done < len(target):
        strip, row = divmod(top + done, segments.height)
        rows = min(segments.height - row, len(target) - done)
        offset = page.dataoffsets[plane * segments.down + strip]
        data = _read(stream, offset + row * row_bytes, rows * row_bytes)
        target[done : done + rows] = np.frombuffer(data, stored).reshape(rows, *target.shape[1:])
        done += rows


def _copy_decoded(
    stream: BinaryIO,
    page: TiffPage,
    segments: _Segments,
    plane: int,
    top: int,
    target: Shaped[np.ndarray, "rows width samples"],
) -> None:
    for row in range(top // segments.height, math.ceil((top + len(target)) / segments.height)):
        for column in range(segments.across):
            index = (plane * segments.down + row) * segments.across + column
            y, x = row * segments.height - top, column * segments.width
            place = target[y : y + segments.height, x : x + segments.width]
            place[...] = _decoded(stream, page, segments, index, *place.shape[:2])


def _decoded(
    stream: BinaryIO, page: TiffPage, segments: _Segments, index: int, rows: int, columns: int
) -> Shaped[np.ndarray, "rows columns samples"]:
    """The part of one strip or tile that is in the image."""
    data = _read(stream, page.dataoffsets[index], page.databytecounts[index])
    if not data:
        raise UnreadableImage("damaged: a strip or tile of 0 bytes")
    _check_encoded(page, segments, data)
    jpeg = page.compression in (_JPEG, _JPEG_AS_DNG)
    if jpeg and page.photometric in _LAB and segments.samples == 3:
        # tifffile's decoder would take these three channels for YCbCr.
        decoded = imagecodecs.jpeg_decode(
            data, tables=page.jpegtables, colorspace="RGB", outcolorspace="RGB"
        )
    else:
        tables = {"jpegtables": page.jpegtables} if jpeg else {}
        decoded = np.asarray(page.decode(data, index, **tables)[0])[0]
    if page.compression in _FAX and decoded.dtype == np.uint8:
        decoded = decoded != 0
    if decoded.dtype != page.dtype:
        raise UnreadableImage(
            f"damaged: a TIFF of {page.dtype} samples whose strips hold {decoded.dtype}"
        )
    if decoded.shape[0] < rows or decoded.shape[1] < columns:
        raise UnreadableImage("truncated: a strip or tile that lacks rows or columns")
    return decoded[:rows, :columns]


def _read(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(offset)
    data = stream.read(size)
    if len(data) < size:
        raise UnreadableImage(f"truncated: the file ends {size - len(data)} bytes early")
    return data


def _check_encoded(page: TiffPage, segments: _Segments, data: bytes) -> None:
    """Refuses an image inside a strip or tile that is larger than that, before it is decoded."""
    if page.compression in (_JPEG, _JPEG_AS_DNG):
        height, width = _jpeg_size(data)
    elif page.compression in _JPEG_2000:
        height, width = _jpeg_2000_size(data)
    elif page.compression == _WEBP:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            width, height = image.size
    else:
        return
    if height > segments.height or width > segments.width:
        raise UnreadableImage(
            f"damaged: an image of {width} x {height} pixels in a strip or tile of "
            f"{segments.width} x {segments.height}"
        )


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Rows and columns by the frame header."""
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF or data[position + 1] in (0x00, 0xFF):
            position += 1
        elif 0xC0 <= data[position + 1] <= 0xCF and data[position + 1] not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            return height, int.from_bytes(data[position + 7 : position + 9], "big")
        elif data[position + 1] in (0x01, *range(0xD0, 0xD9)):  # markers without a length
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise UnreadableImage("damaged: JPEG data without a frame header")


def _jpeg_2000_size(data: bytes) -> tuple[int, int]:
    """Rows and columns by the codestream's size marker."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 24:
        raise UnreadableImage("damaged: JPEG 2000 data without a size")
    right, bottom, left, top = np.frombuffer(data, ">u4", 4, start + 8).tolist()
    return bottom - top, right - left
