"""Reads tiles of whole slides by openslide. Labels and macro images are never read."""

import functools
import math
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import openslide
from PIL import Image

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.ome_slide import OmeSlide
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.slide_content import has_inner_levels
from examine_jax.images.decoding.slide_overview import overview_of
from examine_jax.images.decoding.tiling import SlideTile, Tiling
from examine_jax.images.decoding.tissue import tissue_mask, tissue_shares
from examine_jax.images.decoding.unreadable import UnreadableImage

_MOST_TILES = 1_000_000
_MOST_TILE_PIXELS = 2**25  # as they are stored

_LEAST_MPP, _MOST_MPP = 0.01, 100.0

# Pixels whose sides differ by more are a mistake of the file: scanners' are square.
_MOST_ANISOTROPY = 1.25

# A tile for which fewer of its slide's finest pixels are read is said to be enlarged.
_ENLARGED = 0.8

# Tiles are listed in bands of so many rows, each band from left to right: neighbours are read one
# after the other, and a stored tile that several of them share is decoded once.
_BAND_ROWS = 8

_OPAQUE = (255, 255)

# A path from the root in a message. Paths may hold names of patients.
_PATH = re.compile(r"""(?<![^\s'"“])(?:/|[A-Za-z]:[\\/]).*?(?=: |['"”]|$)""", re.DOTALL)

Found = TypeVar("Found")


def _newly_opened(path: str) -> Any:
    # openslide reads an OME-TIFF as its finest level alone.
    return OmeSlide(path) if has_inner_levels(path) else openslide.OpenSlide(path)


@functools.lru_cache(maxsize=4)
def _opened(path: str, changed: int) -> Any:
    return _newly_opened(path)


def open_slide(path: str) -> Any:
    """A slide. The last ones stay open, since their tiles are read one after the other.

    Raises:
        UnreadableImage: it is none, or damaged.
        OSError: it is not there.
    """
    changed = os.stat(path).st_mtime_ns
    try:
        return _opened(os.path.abspath(path), changed)
    except openslide.OpenSlideUnsupportedFormatError:
        raise UnreadableImage(
            "no slide that openslide reads: cut off, damaged, or of another format; to read "
            "pictures, name their folder"
        ) from None
    except openslide.OpenSlideError as error:
        raise UnreadableImage(_damage(error)) from error


def mpp_of(slide: Any) -> float | None:
    """The micrometres a pixel of level 0; None: the slide does not say, or says what none has."""
    return _resolution(slide)[0]


def _resolution(slide: Any) -> tuple[float | None, str]:
    """The micrometres a pixel, and why they are not known; "": they are."""
    stated = [
        slide.properties.get(name)
        for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
    ]
    if None in stated:
        return None, "does not state how many micrometres a pixel has"
    wrong = f"states {_short(stated[0])} x {_short(stated[1])} micrometres a pixel, which no"
    try:
        x, y = (float(value) for value in stated)
    except ValueError:
        return None, f"{wrong} slide has"
    if not all(_LEAST_MPP <= value <= _MOST_MPP for value in (x, y)):
        return None, f"{wrong} slide has"
    if max(x, y) > _MOST_ANISOTROPY * min(x, y):
        return None, f"{wrong} scanner's pixels have"
    return math.sqrt(x * y), ""


def _short(text: object) -> str:
    return " ".join(str(text).split())[:20]


def slide_tiles(path: str, tiling: Tiling, budget: Budget) -> tuple[list[list[int]], str]:
    """The tiles of a slide that hold tissue.

    Args:
        path: of the slide.
        tiling: how it is cut.
        budget: bounds what all threads together hold.

    Returns:
        x, y and width of each in pixels of level 0, in bands of eight rows from the top down, in
        each band from left to right; and what a user should know of their resolution, "" for
        nothing.

    Raises:
        UnreadableImage: it is damaged, lacks the level, has no tissue, or is smaller than a tile.
    """
    slide = open_slide(path)
    width, height = slide.dimensions
    scale, problem = _scale(slide, tiling)
    side = max(1, round(tiling.tile * scale))
    step = max(1, side - round(tiling.overlap * scale))
    if width < side or height < side:
        raise UnreadableImage(
            f"a slide of {width} x {height} pixels, smaller than a tile of {side} x {side}"
        )
    columns, rows = (width - side) // step + 1, (height - side) // step + 1
    if columns * rows > _MOST_TILES:
        raise UnreadableImage(
            f"{columns * rows} tiles, more than the {_MOST_TILES} that a slide may have; take "
            "larger ones, less overlap or more micrometres a pixel"
        )
    read = _level_and_side(slide, SlideTile(path, path, 0, 0, side, tiling.tile))[1]
    if read**2 > _MOST_TILE_PIXELS:
        raise UnreadableImage(
            f"a tile takes {read} x {read} pixels of its coarsest level that is fine enough; take "
            "fewer micrometres a pixel or smaller tiles, or write it with smaller levels"
        )
    row, column = (part.ravel() for part in np.mgrid[0:rows, 0:columns])
    order = np.lexsort((row, column, row // _BAND_ROWS))
    ys, xs = row[order] * step, column[order] * step
    overview = overview_of(slide, read_region, budget)
    shrunk = np.array([overview.shape[0] / height, overview.shape[1] / width])
    shares = tissue_shares(
        tissue_mask(overview), np.stack([ys, xs], axis=1) * shrunk, float(side * shrunk.mean())
    )
    kept = shares >= tiling.tissue
    if not kept.any():
        raise UnreadableImage(
            f"none of its {len(shares)} tiles holds tissue on {tiling.tissue:.0%} of it or more; "
            "a smaller --tissue takes more tiles, and 0 all"
        )
    tiles = np.stack([xs, ys, np.full(len(xs), side)], axis=1)[kept]
    return [[int(number) for number in tile] for tile in tiles], problem


def _scale(slide: Any, tiling: Tiling) -> tuple[float, str]:
    """Pixels of level 0 a pixel of a tile, and what a user should know of it."""
    if tiling.level is not None:
        if tiling.level >= slide.level_count:
            raise UnreadableImage(
                f"it has no level {tiling.level}; its coarsest is level {slide.level_count - 1}"
            )
        return float(slide.level_downsamples[tiling.level]), ""
    if tiling.mpp is None:
        return 1.0, ""
    mpp, problem = _resolution(slide)
    if mpp is None:
        return 1.0, (
            f"{problem}: cut at the finest level, whose tiles may not compare with those of other "
            "slides (--level names another level)"
        )
    scale = tiling.mpp / mpp
    if scale < _ENLARGED:
        return scale, (
            f"has no pixels as fine as {tiling.mpp:g} micrometres: its tiles are enlarged, so they "
            "are less sharp than those of finer slides (--mpp names coarser pixels)"
        )
    return scale, ""


def slide_overview(
    path: str, budget: Budget
) -> tuple[np.ndarray, np.ndarray, list[int], list[float]]:
    """A small picture of a slide, with its tissue.

    Returns:
        The picture, uint8 [rows, columns, 3]; where it is tissue, bool [rows, columns]; width and
        height of level 0, and x and y where its scanned part begins; its micrometres a pixel, [] if
        they are not known.

    Raises:
        UnreadableImage: it is damaged.
    """
    slide = open_slide(path)
    picture = overview_of(slide, read_region, budget)
    return picture, tissue_mask(picture), *slide_facts(path)


def slide_facts(path: str) -> tuple[list[int], list[float]]:
    """A slide's size, where its scanned part begins, and its resolution, as `slide_overview`.

    Raises:
        UnreadableImage: it is damaged.
    """
    slide = open_slide(path)
    width, height = slide.dimensions
    left, top = (
        _offset(slide, name)
        for name in (openslide.PROPERTY_NAME_BOUNDS_X, openslide.PROPERTY_NAME_BOUNDS_Y)
    )
    mpp = mpp_of(slide)
    return [int(width), int(height), left, top], [] if mpp is None else [mpp]


def _offset(slide: Any, name: str) -> int:
    try:
        return int(slide.properties[name])
    except (KeyError, ValueError):
        return 0


def tile_image(tile: SlideTile) -> Image.Image:
    """A tile as it is stored in the coarsest level that is no coarser than asked for.

    Transparent pixels, which were not scanned, are white.

    Raises:
        UnreadableImage: it is damaged.
    """

    def read(slide: Any) -> Image.Image:
        level, side = _level_and_side(slide, tile)
        return _region(slide, (tile.x, tile.y), level, (side, side))

    return _of_slide(tile.slide, read)


def tile_side(tile: SlideTile) -> int:
    """The side of a tile as `read_tile` reads it.

    Raises:
        UnreadableImage: its slide cannot be opened.
    """
    return _of_slide(tile.slide, lambda slide: _level_and_side(slide, tile)[1])


def _of_slide(path: str, read: Callable[[Any], Found]) -> Found:
    """What is read of a slide that threads share.

    openslide reads nothing more of a slide after an error, which may be another thread's. So it is
    opened anew, for this thread alone: whether a tile is damaged depends on the tile only.
    """
    slide = open_slide(path)
    try:
        return read(slide)
    except (UnreadableImage, openslide.OpenSlideError):
        _opened.cache_clear()
    try:
        return read(_newly_opened(os.path.abspath(path)))
    except openslide.OpenSlideError as error:
        raise UnreadableImage(_damage(error)) from error


def _level_and_side(slide: Any, tile: SlideTile) -> tuple[int, int]:
    level = slide.get_best_level_for_downsample(max(1.0, tile.width / tile.tile * 1.01))
    return level, max(1, round(tile.width / slide.level_downsamples[level]))


def read_tile(tile: SlideTile) -> UInt8[np.ndarray, "side side 3"]:
    """`tile_image` as an array."""
    return np.asarray(tile_image(tile))


def read_region(
    slide: Any, corner: tuple[int, int], level: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A part of a level: (x, y) in pixels of level 0, (width, height) in those of the level.

    Raises:
        UnreadableImage: it is damaged.
    """
    return np.asarray(_region(slide, corner, level, size))


def _region(slide: Any, corner: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
    try:
        image: Image.Image = slide.read_region(corner, level, size)
    except openslide.OpenSlideError as error:
        _opened.cache_clear()  # openslide reads nothing more of a slide after an error
        raise UnreadableImage(_damage(error)) from error
    if image.getchannel("A").getextrema() == _OPAQUE:
        return image.convert("RGB")
    pixels = np.asarray(image)
    colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    white = 255 - alpha  # openslide's colours are not premultiplied
    return Image.fromarray(((colour * alpha + 127) // 255 + white).astype(np.uint8))


def _damage(error: Exception) -> str:
    reason = _PATH.sub("…", " ".join(str(error).split()))
    return f"a damaged slide ({reason[:200]})"
