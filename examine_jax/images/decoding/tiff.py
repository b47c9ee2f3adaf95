"""Reads TIFF images as grey or RGB, whatever their samples, layout and compression.

Values are those of the file: unsigned integers of up to 8 bits, palettes, CMYK, LAB and YCbCr
become bytes; all others keep their values. Transparent pixels are laid on white.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms
from tifffile import TiffFile, TiffPage

from examine_jax.common.shapes import Num, Shaped, UInt8
from examine_jax.images.decoding.raster import Raster
from examine_jax.images.decoding.tiff_samples import check_samples, sample_bands, sample_type
from examine_jax.images.decoding.unreadable import UnreadableImage

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_CIELAB, _ICCLAB = 8, 9
_COLOURS = {
    _WHITE_IS_ZERO: 1,
    _BLACK_IS_ZERO: 1,
    _RGB: 3,
    _PALETTE: 1,
    _CMYK: 4,
    _YCBCR: 3,
    _CIELAB: 3,
    _ICCLAB: 3,
}
_ASSOCIATED, _UNASSOCIATED, _COREL_DRAW = 1, 2, 999  # kinds of extra samples

_PHOTOMETRIC, _ORIENTATION, _COLOUR_MAP, _INK_SET = 262, 274, 320, 332
_YCBCR_COEFFICIENTS, _REFERENCE_BLACK_WHITE = 529, 532
_ITU_R_601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_JPEG, _JPEG_AS_DNG, _WEBP, _JPEG_2000_YCBCR = 7, 33007, 50001, 33003


def open_tiff(stream: BinaryIO) -> TiffFile:
    """A TIFF for `read_tiff`."""
    stream.seek(0)
    # Formats that are built upon TIFF and lay out pages otherwise are read as the TIFF they are.
    return TiffFile(stream, _multifile=False, is_lsm=False, is_ndpi=False, is_scanimage=False)


def declared_beyond(file: TiffFile, pages: int) -> str | None:
    """Why images after so many pages are not read; None: the file's description declares none.

    ImageJ and tifffile may write images one after the other and a directory for the first alone.
    """
    page = file.pages.first
    description = str(page.description)
    if found := re.match(r"ImageJ=.*?^images=(\d{1,9})$", description, re.DOTALL | re.MULTILINE):
        declared = int(found[1]) // max(1, page.samplesperpixel)
    elif found := re.match(r'\{"shape": \[(\d{1,9}(?:, \d{1,9}){0,7})\]', description):
        declared = math.prod(map(int, found[1].split(","))) // max(1, page.size)
    else:
        return None
    if declared <= pages:
        return None
    return f"a TIFF described as {declared} images with pages for {pages}; save each as a page"


def read_tiff(
    stream: BinaryIO,
    file: TiffFile,
    directory: int,
    max_pixels: int,
    max_bytes: int,
    bits_stored: int | None = None,
) -> Raster:
    """Reads the tags of the image whose directory is at an offset.

    Args:
        stream, file: the open file, and `open_tiff` of it.
        directory: one of `tiff_directory.image_directories`.
        max_pixels, max_bytes: an image with more pixels, or a strip with more bytes, is refused.
        bits_stored: the bits in use in wider integers whose 0 is white; None: all.

    Raises:
        UnreadableImage: the image is not read; says what it is.
    """
    page = file.pages.first
    if page.offset != directory:
        stream.seek(directory)
        page = TiffPage(file, 0)
    height, width = page.imagelength, page.imagewidth
    if width * height > max_pixels:
        raise UnreadableImage(
            f"{width} x {height} pixels in its header, more than max_pixels={max_pixels}"
        )
    check_samples(page, max_bytes)
    convert, channels = _conversion(page, bits_stored)
    kind, bits = sample_type(page).kind, page.bitspersample
    photometric = _photometric(page)

    def bands() -> Iterator[Num[np.ndarray, "rows width channels"]]:
        for band in sample_bands(stream, page):
            yield convert(band)

    return Raster(
        height,
        width,
        _orientation(page),
        kind in "iu" and bits > 8 and photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB),
        channels,
        bands,
    )


def _orientation(page: TiffPage) -> int:
    """1 (upright) where it is missing or damaged."""
    value = page.tags.valueof(_ORIENTATION, 1)
    return int(value) if isinstance(value, int) else 1


def _photometric(page: TiffPage) -> int:
    if page.tags.get(_PHOTOMETRIC) is None:  # as libtiff guesses
        return _RGB if page.samplesperpixel >= 3 else _BLACK_IS_ZERO
    if page.compression == _JPEG_2000_YCBCR:
        return _YCBCR
    return int(page.photometric)


def _name(photometric: int) -> str:
    return str(getattr(photometric, "name", photometric))


def _conversion(
    page: TiffPage, bits_stored: int | None
) -> tuple[Callable[[Shaped[np.ndarray, "rows width samples"]], np.ndarray], int]:
    """What turns samples into grey or RGB, and how many channels that has."""
    photometric = _photometric(page)
    if photometric not in _COLOURS:
        raise UnreadableImage(
            f"a TIFF of {_name(page.photometric)} samples, which are not read; save it as RGB"
        )
    colours = _COLOURS[photometric]
    if page.samplesperpixel < colours:
        raise UnreadableImage(
            f"damaged: a TIFF of {page.samplesperpixel} samples a pixel where its colours need "
            f"{colours}"
        )
    alpha, associated = _alpha(page, photometric, colours)
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        return _grey_or_rgb(page, photometric, alpha, associated, bits_stored), colours
    if sample_type(page).kind not in "bu":
        raise UnreadableImage(
            f"a TIFF of {page.dtype} samples as {_name(page.photometric)}, which are not read; "
            "save it as RGB"
        )
    to_rgb = {
        _PALETTE: _palette,
        _CMYK: _cmyk,
        _YCBCR: _ycbcr,
        _CIELAB: _cielab,
        _ICCLAB: _icclab,
    }[photometric](page)

    def convert(samples: Shaped[np.ndarray, "rows width samples"]) -> UInt8[np.ndarray, "..."]:
        rgb = to_rgb(samples[..., :colours])
        if alpha is None:
            return rgb
        return _bytes_on_white(rgb, _to_8_bits(samples[..., alpha : alpha + 1], page), associated)

    return convert, 3


def _alpha(page: TiffPage, photometric: int, colours: int) -> tuple[int | None, bool]:
    """Which sample says how opaque a pixel is, and whether colours are multiplied by it."""
    extra = page.samplesperpixel - colours
    kinds = tuple(map(int, page.extrasamples))[:extra]
    for index, kind in enumerate(kinds):
        if kind in (_ASSOCIATED, _UNASSOCIATED, _COREL_DRAW):
            return colours + index, kind == _ASSOCIATED
    if not kinds and extra == 1 and photometric == _RGB:
        return colours, False
    if extra > 1 and colours == 1:
        raise UnreadableImage(
            f"a TIFF of {page.samplesperpixel} channels that are no colours; save the one to read, "
            "or RGB"
        )
    return None, False


def _grey_or_rgb(
    page: TiffPage,
    photometric: int,
    alpha: int | None,
    associated: bool,
    bits_stored: int | None,
) -> Callable[[Shaped[np.ndarray, "rows width samples"]], np.ndarray]:
    colours, inverted = _COLOURS[photometric], photometric == _WHITE_IS_ZERO
    kind, bits = sample_type(page).kind, page.bitspersample
    if inverted and kind not in "bu":
        raise UnreadableImage(
            f"a TIFF of {page.dtype} samples whose 0 is white; save it with 0 as black"
        )

    def narrow(samples: Shaped[np.ndarray, "rows width samples"]) -> np.ndarray:
        values = _to_8_bits(samples, page)
        shown = values[..., :colours]
        if inverted:
            shown = 255 - shown
        if alpha is None:
            return shown
        return _bytes_on_white(shown, values[..., alpha : alpha + 1], associated)

    def wide(samples: Shaped[np.ndarray, "rows width samples"]) -> np.ndarray:
        shown = samples[..., :colours]
        if inverted:
            shown = 2 ** (bits_stored or bits) - 1 - shown.astype(np.int64)
        if alpha is None:
            return shown
        white = 2**bits - 1
        opaque = samples[..., alpha : alpha + 1]
        if (opaque == white).all():
            return shown
        part = opaque / np.float64(white)
        laid = shown * (1 if associated else part) + white * (1 - part)
        return np.rint(laid).astype(np.int64)

    def signed(samples: Shaped[np.ndarray, "rows width samples"]) -> np.ndarray:
        shown = samples[..., :colours]
        if alpha is not None and (samples[..., alpha] != 2 ** (bits - 1) - 1).any():
            raise UnreadableImage("a TIFF of signed integers with transparent pixels")
        return shown

    def floating(samples: Shaped[np.ndarray, "rows width samples"]) -> np.ndarray:
        if alpha is not None and not np.isin(samples[..., alpha], (1, 255)).all():
            raise UnreadableImage("a TIFF of floats with transparent pixels; save it without them")
        return samples[..., :colours]

    if kind == "f":
        return floating
    if kind == "i":
        return signed
    return narrow if bits <= 8 else wide


def _to_8_bits(
    samples: Shaped[np.ndarray, "rows width samples"], page: TiffPage
) -> UInt8[np.ndarray, "rows width samples"]:
    """Unsigned integers with white at their largest possible value, as bytes."""
    bits = page.bitspersample
    if bits == 8:
        return samples
    if samples.dtype == np.bool_:
        return samples.view(np.uint8) * np.uint8(255)
    full = 2**bits - 1
    if bits < 8:
        return np.rint(np.arange(full + 1) * (255 / full)).astype(np.uint8)[samples]
    return np.rint(samples * (255 / full)).astype(np.uint8)


def _bytes_on_white(
    shown: UInt8[np.ndarray, "rows width colours"],
    alpha: UInt8[np.ndarray, "rows width 1"],
    associated: bool,
) -> UInt8[np.ndarray, "rows width colours"]:
    wide, opaque = shown.astype(np.uint32), alpha.astype(np.uint32)
    if associated:
        return np.minimum(wide + 255 - opaque, 255).astype(np.uint8)
    return ((wide * opaque + 255 * (255 - opaque) + 127) // 255).astype(np.uint8)


def _palette(page: TiffPage) -> Callable[[np.ndarray], np.ndarray]:
    values = page.tags.valueof(_COLOUR_MAP)
    if values is None or np.size(values) != 3 * 2**page.bitspersample:
        raise UnreadableImage("damaged: a TIFF of palette indices without its whole palette")
    colours = np.asarray(values).reshape(3, -1).T
    # Some writers give 8 bits where 16 are due. libtiff tells them apart in the same way.
    if colours.max() > 255:
        colours = colours >> 8
    table = colours.astype(np.uint8)
    return lambda samples: table[samples[..., 0].astype(np.intp)]


def _cmyk(page: TiffPage) -> Callable[[np.ndarray], np.ndarray]:
    if int(page.tags.valueof(_INK_SET, 1)) != 1:
        raise UnreadableImage("a TIFF of inks other than CMYK, which are not read; save it as RGB")
    return lambda samples: _by_pillow("CMYK", _to_8_bits(samples, page))


def _ycbcr(page: TiffPage) -> Callable[[np.ndarray], np.ndarray]:
    if page.compression in (_JPEG, _JPEG_AS_DNG, _WEBP):  # Their decoders return RGB.
        if page.samplesperpixel > 3:
            raise UnreadableImage("a TIFF of YCbCr with more than 3 channels; save it as RGB")
        if page.planarconfig != 2:
            return lambda samples: samples
    coefficients = _numbers(page, _YCBCR_COEFFICIENTS, _ITU_R_601)
    black_white = _numbers(page, _REFERENCE_BLACK_WHITE, _FULL_RANGE)
    if (
        not np.allclose(coefficients, _ITU_R_601, atol=1e-3)
        or not np.allclose(black_white, _FULL_RANGE, atol=0.5)
        or page.bitspersample != 8
    ):
        raise UnreadableImage("a TIFF of YCbCr other than JPEG's; save it as RGB")
    return lambda samples: _by_pillow("YCbCr", samples)


def _numbers(page: TiffPage, code: int, default: Sequence[float]) -> np.ndarray:
    """A tag of fractions."""
    value = page.tags.valueof(code)
    if value is None:
        return np.array(default, np.float64)
    fractions = np.asarray(value, np.float64).reshape(-1, 2)
    return fractions[:, 0] / np.maximum(fractions[:, 1], 1)


def _cielab(page: TiffPage) -> Callable[[np.ndarray], np.ndarray]:
    def convert(samples: np.ndarray) -> np.ndarray:
        if page.bitspersample == 8:
            return _lab_to_rgb(samples)
        lightness = np.rint(samples[..., :1] * (255 / 65535))
        colour = np.rint(samples[..., 1:].view(np.int16) / 256).astype(np.int64) & 255
        return _lab_to_rgb(np.concatenate([lightness, colour], -1).astype(np.uint8))

    return _of_8_or_16_bits(page, convert)


def _icclab(page: TiffPage) -> Callable[[np.ndarray], np.ndarray]:
    def convert(samples: np.ndarray) -> np.ndarray:
        if page.bitspersample == 16:  # 0xFF00 is an L of 100; 0x8000 is an a or b of 0.
            scale = np.array([255 / 65280, 1 / 256, 1 / 256])
            samples = np.clip(np.rint(samples * scale), 0, 255).astype(np.uint8)
        # Pillow's raw bytes are CIELAB's: a and b are signed.
        return _lab_to_rgb(samples ^ np.array([0, 128, 128], np.uint8))

    return _of_8_or_16_bits(page, convert)


def _of_8_or_16_bits(
    page: TiffPage, convert: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    if page.bitspersample not in (8, 16):
        raise UnreadableImage(f"a TIFF of {page.bitspersample}-bit LAB; save 8 or 16 bits")
    return convert


def _lab_to_rgb(samples: UInt8[np.ndarray, "rows width 3"]) -> np.ndarray:
    height, width = samples.shape[:2]
    image = Image.frombytes("LAB", (width, height), np.ascontiguousarray(samples).tobytes())
    # By default, a coarse table stands in for the formula.
    exact = ImageCms.profileToProfile(
        image,
        ImageCms.createProfile("LAB"),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
        flags=ImageCms.Flags.NOOPTIMIZE,
    )
    return np.asarray(exact)


def _by_pillow(mode: str, samples: UInt8[np.ndarray, "rows width samples"]) -> np.ndarray:
    """RGB as Pillow converts a mode to it."""
    height, width = samples.shape[:2]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(samples).tobytes())
    return np.asarray(image.convert("RGB"))
