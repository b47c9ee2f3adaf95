"""Decodes a raster in bands to pixels of one size, and describes it on the way."""

from collections.abc import Iterator

import numpy as np

from examine_jax.common.shapes import Float, Num
from examine_jax.images.decoding.decoded_image import DecodedImage
from examine_jax.images.decoding.depth import float_problem, integer_problem
from examine_jax.images.decoding.describing import (
    Describe,
    described,
    provisional_bytes,
    upright,
    upright_size,
)
from examine_jax.images.decoding.framing import Framing
from examine_jax.images.decoding.raster import Raster
from examine_jax.images.decoding.resize import (
    BAND_PIXELS,
    ImageSize,
    luma,
    resize_bands,
    rows_and_columns,
    to_grey,
)
from examine_jax.images.decoding.unreadable import UnreadableImage


def decode_raster(
    raster: Raster,
    image_size: ImageSize,
    channels: int,
    bits_stored: int | None,
    describe: Describe | None,
) -> DecodedImage:
    """Decodes and resizes an image.

    Args:
        raster: the image.
        image_size, channels, bits_stored, describe: as in `ImageDecoder`.

    Raises:
        UnreadableImage: its values are out of range.
        Exception: it is damaged; any kind, from its decoder.
    """
    size = raster.height, raster.width
    found = _Found(None if describe is None else size)
    wanted: ImageSize = image_size
    if not isinstance(image_size, Framing):  # whose size is a square
        wanted = upright_size(rows_and_columns(image_size), raster.orientation)
    bands = _prepared(found.watched(raster.bands()), channels)
    pixels = resize_bands(bands, *size, wanted)
    if found.kind == "f":
        problem = float_problem(found.smallest, found.largest)
    else:
        bits = None if found.final else bits_stored
        problem = integer_problem(int(found.smallest), int(found.largest), bits)
    if problem:
        raise UnreadableImage(problem)
    description = None
    if describe is not None:
        description = _described(describe, found, raster.orientation, bits_stored)
    if found.kind != "f" and pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 65535).astype(np.uint16)
    return DecodedImage(
        upright(pixels, raster.orientation),
        255.0 if found.final else float(found.largest),
        upright_size(size, raster.orientation),
        description=description,
    )


def _prepared(
    bands: Iterator[Num[np.ndarray, "rows width channels"]], channels: int
) -> Iterator[Num[np.ndarray, "rows width channels"]]:
    """Bands as they are resized: bytes or float32, and grey where that is asked for."""
    for band in bands:
        to_one = band.shape[-1] == 3 and channels == 1
        if band.dtype.itemsize == 1:
            # Signed bytes are plain bytes unless one is negative, which is refused later.
            plain = band.view(np.uint8)
            yield to_grey(plain) if to_one else plain
        else:
            with np.errstate(over="ignore"):  # Infinity is refused later.
                values = band.astype(np.float32)
            yield luma(values) if to_one else values


def _described(
    describe: Describe, found: "_Found", orientation: int, bits_stored: int | None
) -> Float[np.ndarray, " numbers"] | None:
    """What `describe` says of an image; its memory is that of its bytes."""
    if found.whole is None:
        return None
    shown = found.whole
    if not found.final:
        shown = np.empty(found.whole.shape, np.uint8)
        rows = max(1, BAND_PIXELS // found.whole.shape[1])
        for top in range(0, len(shown), rows):
            band = found.whole[top : top + rows]
            shown[top : top + rows] = provisional_bytes(band, float(found.largest), bits_stored)
        found.whole = None
    return described(describe, upright(shown.view(np.uint8), orientation))


class _Found:
    """What is found in an image's bands while they pass.

    Attributes:
        smallest, largest: of all values.
        kind: NumPy's letter of their type: "u", "i" or "f".
        final: they are bytes.
        whole: all of them, where the image's size was given.
    """

    def __init__(self, size: tuple[int, int] | None):
        self.smallest: float = float("inf")
        self.largest: float = float("-inf")
        self.kind = "u"
        self.final = False
        self.whole: Num[np.ndarray, "height width channels"] | None = None
        self._size = size

    def watched(
        self, bands: Iterator[Num[np.ndarray, "rows width channels"]]
    ) -> Iterator[Num[np.ndarray, "rows width channels"]]:
        top = 0
        for band in bands:
            self.kind, self.final = band.dtype.kind, band.dtype.itemsize == 1
            if band.dtype == np.uint8:
                self.smallest, self.largest = 0, 255
            else:
                # NumPy's keep a NaN of any band; Python's keep large integers exact.
                lower, upper = (np.minimum, np.maximum) if self.kind == "f" else (min, max)
                self.smallest = lower(self.smallest, band.min().item())
                self.largest = upper(self.largest, band.max().item())
            if self._size is not None:
                if self.whole is None:
                    self.whole = np.empty((*self._size, band.shape[-1]), band.dtype)
                self.whole[top : top + len(band)] = band
            top += len(band)
            yield band
