"""Whole slides as OME-TIFF, whose smaller levels lie within the first page: openslide misses them.

Source: OME-TIFF specification 6.0, "Sub-resolutions"; OME data model, Pixels.
"""

import collections
import contextlib
import re
import threading
import weakref
from typing import Any

import numpy as np
import openslide
from PIL import Image
from tifffile import TiffFile, TiffPage

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.tiff import open_tiff
from examine_jax.images.decoding.tiff_samples import check_samples, sample_tile
from examine_jax.images.decoding.unreadable import UnreadableImage

_GREY, _INVERTED, _COLOURS = 1, 0, (2, 6)
_LARGEST_TILE = 2**26  # bytes
_KEPT_BYTES = 2**26  # of tiles that were decoded

# Micrometres in the units of OME's data model; its default is the micrometre.
_UNITS = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "pm": 1e-6}
_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b([^>]{0,4096})>")
_ATTRIBUTE = re.compile(r'\b(\w+)\s*=\s*"([^"]{0,64})"')


class OmeSlide:
    """The first image of an OME-TIFF, with what the readers of slides use of `openslide.OpenSlide`.

    Several threads may read from it at once.

    Attributes:
        level_dimensions: (width, height) of each level, the finest first.
        level_downsamples: pixels of the finest level a pixel of each.
        properties: the resolution, as openslide names it.
    """

    def __init__(self, path: str):
        with contextlib.ExitStack() as failing:
            self._stream = failing.enter_context(open(path, "rb"))
            file = open_tiff(self._stream)
            self._pages = _levels(file)
            self.properties = _resolution(str(file.pages.first.description))
            failing.pop_all()
        weakref.finalize(self, self._stream.close)
        self.level_dimensions = tuple((page.imagewidth, page.imagelength) for page in self._pages)
        width, height = self.level_dimensions[0]
        self.level_downsamples = tuple(
            (width / columns + height / rows) / 2 for columns, rows in self.level_dimensions
        )
        self._tiles: collections.OrderedDict[tuple[int, int, int], np.ndarray] = (
            collections.OrderedDict()
        )
        self._kept_bytes = 0
        self._lock = threading.Lock()  # for the file's position and the kept tiles

    @property
    def dimensions(self) -> tuple[int, int]:
        """(width, height) of the finest level."""
        return self.level_dimensions[0]

    @property
    def level_count(self) -> int:
        """How many levels there are."""
        return len(self._pages)

    def get_best_level_for_downsample(self, downsample: float) -> int:
        """The coarsest level that is no coarser than asked for."""
        fine = [i for i, down in enumerate(self.level_downsamples) if down <= downsample]
        return max(fine, default=0)

    def read_region(
        self, location: tuple[int, int], level: int, size: tuple[int, int]
    ) -> Image.Image:
        """A part of a level as RGBA: (x, y) in the finest level, (width, height) in this one."""
        page, down = self._pages[level], self.level_downsamples[level]
        left, top = (round(place / down) for place in location)
        width, height = size
        found = np.zeros((height, width, 4), np.uint8)
        columns, rows = self.level_dimensions[level]
        right, bottom = min(left + width, columns), min(top + height, rows)
        for row in range(max(top, 0) // page.tilelength, -(-bottom // page.tilelength)):
            for column in range(max(left, 0) // page.tilewidth, -(-right // page.tilewidth)):
                tile = self._tile(level, row, column)
                y, x = row * page.tilelength - top, column * page.tilewidth - left
                part = tile[max(-y, 0) :, max(-x, 0) :][: height - max(y, 0), : width - max(x, 0)]
                y, x = max(y, 0), max(x, 0)
                found[y : y + part.shape[0], x : x + part.shape[1], :3] = part
                found[y : y + part.shape[0], x : x + part.shape[1], 3] = 255
        return Image.fromarray(found)

    def _tile(self, level: int, row: int, column: int) -> UInt8[np.ndarray, "rows columns 3"]:
        key = level, row, column
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
            page = self._pages[level]
            tile = sample_tile(self._stream, page, row, column)[..., :3]
            if page.photometric == _INVERTED:
                tile = 255 - tile
            if tile.shape[-1] < 3:
                tile = np.repeat(tile[..., :1], 3, axis=-1)
            self._tiles[key] = tile = np.ascontiguousarray(tile)
            self._kept_bytes += tile.nbytes
            while self._kept_bytes > _KEPT_BYTES:
                self._kept_bytes -= self._tiles.popitem(last=False)[1].nbytes
            return tile


def _levels(file: TiffFile) -> tuple[TiffPage, ...]:
    """The first page and its smaller copies in tiles, the finest first.

    Raises:
        UnreadableImage: its samples are no 8-bit grey or colours.
    """
    first = file.pages.first
    inner: Any = first.pages or ()
    pages = [first, *sorted(inner, key=lambda page: -page.imagewidth)]
    found = [page for page in pages if page.is_tiled and page.imagewidth and page.imagelength]
    for page in found:
        check_samples(page, _LARGEST_TILE)
        grey = page.photometric in (_GREY, _INVERTED)
        if page.dtype != np.uint8 or not (grey or page.photometric in _COLOURS):
            raise UnreadableImage(
                "an OME-TIFF whose pixels are no 8-bit grey or colours; save it as RGB of 8 bits"
            )
        if not grey and page.samplesperpixel < 3:
            raise UnreadableImage("damaged: a TIFF of colours with fewer than 3 samples")
    return tuple(found)


def _resolution(description: str) -> dict[str, str]:
    """The micrometres a pixel of the first image, by openslide's names."""
    pixels = _PIXELS.search(description)
    if pixels is None:
        return {}
    stated = dict(_ATTRIBUTE.findall(pixels[1]))
    found = {}
    for axis, name in (
        ("X", openslide.PROPERTY_NAME_MPP_X),
        ("Y", openslide.PROPERTY_NAME_MPP_Y),
    ):
        size = stated.get(f"PhysicalSize{axis}")
        unit = _UNITS.get(stated.get(f"PhysicalSize{axis}Unit", "µm"))
        if size is not None and unit is not None:
            try:
                found[name] = str(float(size) * unit)
            except ValueError:
                found[name] = size
    return found
