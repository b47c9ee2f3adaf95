"""Reads PNG, JPEG, BMP and WebP by Pillow; PNGs of 16 bits with every bit."""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base as ExifTag

from examine_jax.common.shapes import Num, Shaped, UInt8
from examine_jax.images.decoding.describing import upright_size
from examine_jax.images.decoding.framing import Framing
from examine_jax.images.decoding.raster import Raster
from examine_jax.images.decoding.resize import (
    BAND_PIXELS,
    ImageSize,
    resize_bands,
    resize_image,
    rows_and_columns,
)
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.decoding.webp import decoded_webp

# Pillow reads others too, such as PostScript, which it passes to an interpreter. TIFF has a reader
# of its own (tiff.py).
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")

# JPEG decodes to a half, quarter or eighth in a fraction of the time. From 4 times the final size
# on, the difference is invisible.
_DRAFT_MARGIN = 4

_GREY_MODES = ("1", "L", "LA", "La")

_WHITE = 65535  # at 16 bits

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK = struct.Struct(">I4s")  # its length and its kind


def open_image(stream: BinaryIO, max_pixels: int) -> Image.Image:
    """Reads the header.

    Raises:
        UnreadableImage: the image has more than `max_pixels`.
        PIL.UnidentifiedImageError: it is none of these formats.
    """
    stream.seek(0)
    image = Image.open(stream, formats=FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableImage(
            f"{width} x {height} pixels in its header, more than max_pixels={max_pixels}"
        )
    key = image.info.get("transparency")
    if image.format == "PNG" and isinstance(key, int):
        # Pillow compares the key, as it is stored, with values that it has scaled to 8 bits.
        image.info["transparency"] = key * {"L;2": 85, "L;4": 17}.get(_rawmode(image), 1)
    return image


def is_deep(image: Image.Image) -> bool:
    """Whether it has more than 8 bits a sample."""
    return image.format == "PNG" and (image.mode.startswith("I") or ";16" in _rawmode(image))


def beyond(image: Image.Image) -> str | None:
    """Why frames after the first are not read; None: there are none."""
    frames = getattr(image, "n_frames", 1)
    if frames == 1:
        return None
    return f"{frames} frames in one {image.format}, whose first is read; save the others as files"


def orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 (upright) where it is missing or damaged."""
    try:
        return int(image.getexif().get(ExifTag.Orientation, 1))
    except Exception:
        return 1


def size(stream: BinaryIO, image: Image.Image) -> tuple[int, int]:
    """The rows and columns of an image whose header is read, upright. It is not decoded.

    A PNG is decoded only where text or EXIF data come after its pixels and may turn it.
    """
    turned = 1
    try:
        # Pillow's own method for PNG decodes every file without EXIF data.
        later = image.format == "PNG" and _says_more_after_pixels(stream)
        found = image.getexif() if later else Image.Image.getexif(image)
        turned = int(found.get(ExifTag.Orientation, 1))
    except Exception:
        pass  # As `orientation` has it.
    return upright_size((image.height, image.width), turned)


def _says_more_after_pixels(stream: BinaryIO) -> bool:
    """Whether a PNG has text or EXIF data after its pixels, by the heads of its chunks."""
    place, end, pixels = len(_PNG_SIGNATURE), stream.seek(0, os.SEEK_END), False
    while place + 8 <= end:
        stream.seek(place)
        length, kind = _PNG_CHUNK.unpack(stream.read(8))
        if kind == b"IDAT":
            pixels = True
        elif pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
            return True
        place += length + 12
    return False


def decoded(stream: BinaryIO, image: Image.Image) -> Image.Image:
    """The image whose header is read, decoded or ready to be."""
    return decoded_webp(stream, image) if image.format == "WEBP" else image


def bytes_of(image: Image.Image) -> UInt8[np.ndarray, "height width channels"]:
    """An image of 8 bits as it is stored, grey or RGB, with transparent pixels on white."""
    image.load()
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    pixels = np.empty((image.height, image.width, len(mode)), np.uint8)
    top = 0
    for band in _bands(image, mode):
        pixels[top : top + len(band)] = band
        top += len(band)
    return pixels


def resized_bytes(
    stream: BinaryIO, image: Image.Image, image_size: ImageSize, channels: int
) -> tuple[UInt8[np.ndarray, "rows columns channels"], int]:
    """An image of 8 bits, resized so that it has the size when it is turned, and its orientation.

    The result does not depend on whether the image is decoded already.
    """
    size = rows_and_columns(image_size)
    framed = isinstance(image_size, Framing)
    if image.format == "JPEG" and not framed:  # a draft is not what an encoder's library reads
        rows, columns = upright_size(size, orientation(image))
        enough = _DRAFT_MARGIN * columns, _DRAFT_MARGIN * rows
        if image.width >= 2 * enough[0] and image.height >= 2 * enough[1]:
            # By a draft of its own. Mode None keeps the file's.
            if not image.tile:  # type: ignore[attr-defined]
                image = open_image(stream, image.width * image.height)
            image.draft(None, enough)
    image.load()
    turned = orientation(image)  # Of a PNG, it may come after the pixels.
    size = upright_size(size, turned)
    wanted = image_size if framed else size
    mode = "L" if channels == 1 or image.mode in _GREY_MODES else "RGB"
    width, height = image.size
    if width * height <= BAND_PIXELS:
        pixels = np.asarray(resize_image(_converted(image, mode), wanted)).reshape(*size, -1)
    else:
        pixels = resize_bands(_bands(image, mode), height, width, wanted)
    return pixels, turned


def read_deep(stream: BinaryIO, image: Image.Image, max_pixels: int) -> Raster:
    """Decodes a PNG of 16 bits whose header is `image`.

    Pillow keeps the upper 8 bits of colours, which it finds by the byte order in the raw mode.
    Given the other order, the same decoder returns the lower 8 bits.
    """
    width, height = image.size
    rawmode = _rawmode(image)
    key = image.info.get("transparency")

    def decoded(layout: str | None) -> Image.Image:
        return _decoded(open_image(stream, max_pixels), layout)

    if image.mode == "I;16":
        channels, colours, layout = 1, 1, None
    elif rawmode == "LA;16B":  # The bytes of grey and alpha lie like four channels.
        channels, colours, layout = 2, 1, "RGBA"
    elif rawmode in ("RGB;16B", "RGBA;16B"):
        channels, colours, layout = len(image.mode), 3, rawmode
    else:
        raise UnreadableImage(f"16-bit samples laid out as {rawmode}; save it as 16-bit RGB")
    first = decoded(layout)
    turned = orientation(first)  # Pillow decodes a PNG to find it.
    if colours == 3:
        # An array takes less than Pillow's image, which pads RGB to four bytes.
        upper = np.empty((height, width, channels), np.uint8)
        for top, part in _parts(first):
            upper[top : top + len(part)] = part
        del first
        first = decoded(rawmode[:-1] + "L")

    def bands() -> Iterator[Num[np.ndarray, "rows width channels"]]:
        for top, part in _parts(first):
            if colours == 3:
                values = upper[top : top + len(part)].astype(np.uint16) << 8 | part
            elif channels == 2:
                wide = part.astype(np.uint16)
                values = wide[..., 0::2] << 8 | wide[..., 1::2]
            else:
                values = part[..., None]
            if channels > colours:
                yield _on_white(values[..., :colours], values[..., colours:])
            elif key is not None:
                clear = (values == np.asarray(key)).all(-1, keepdims=True)
                yield np.where(clear, np.uint16(_WHITE), values)
            else:
                yield values

    return Raster(height, width, turned, True, colours, bands)


def _parts(image: Image.Image) -> Iterator[tuple[int, Shaped[np.ndarray, "rows width ..."]]]:
    """The first row of each band of a decoded image, and its values."""
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        yield top, np.asarray(image.crop(box))


def _on_white(
    colours: Shaped[np.ndarray, "rows width colours"], alpha: Shaped[np.ndarray, "rows width 1"]
) -> Shaped[np.ndarray, "rows width colours"]:
    if alpha.min() == _WHITE:
        return colours
    part = alpha / np.float32(_WHITE)
    return np.rint(colours * part + _WHITE * (1 - part)).astype(np.uint16)


def _bands(image: Image.Image, mode: str) -> Iterator[UInt8[np.ndarray, "rows width channels"]]:
    width, height = image.size
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = image if bottom - top == height else image.crop((0, top, width, bottom))
        yield np.asarray(_converted(band, mode)).reshape(bottom - top, width, -1)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """In a mode, without transparency.

    The colour of transparent pixels is arbitrary; slides and figures are white there.
    """
    if image.mode == "RGBX":
        image = image.convert("RGB")
    if image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _rawmode(image: Image.Image) -> str:
    """The layout of the file's samples, in Pillow's notation: "RGB;16B"."""
    arguments = image.tile[0].args if image.tile else ""  # type: ignore[attr-defined]
    return str(arguments[0] if isinstance(arguments, tuple | list) and arguments else arguments)


def _decoded(image: Image.Image, rawmode: str | None) -> Image.Image:
    """Decodes the image, with another layout of its samples if one is named."""
    if rawmode is not None:
        image.tile = [  # type: ignore[attr-defined]
            tile._replace(
                args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple | list) else rawmode
            )
            for tile in image.tile  # type: ignore[attr-defined]
        ]
    image.load()
    return image
