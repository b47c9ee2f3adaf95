"""Reads tiles of whole slides by openslide. Labels and macro images are never read."""

import functools
import math
import os
from typing import Any

import numpy as np
import openslide

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.tiling import SlideTile, Tiling
from examine_jax.images.decoding.tissue import tissue_mask, tissue_shares
from examine_jax.images.decoding.unreadable import UnreadableImage

# The longer side of the picture in which tissue is found, and the rows that are read at once to
# make it.
_OVERVIEW = 1024
_STRIP_PIXELS = 2**24

# Level 0 of more pixels is not read whole to find tissue.
_MOST_OVERVIEW_PIXELS = 2**30

_MOST_TILES = 1_000_000

_LEAST_MPP, _MOST_MPP = 0.01, 100.0


@functools.lru_cache(maxsize=4)
def _opened(path: str, changed: int) -> Any:
    return openslide.OpenSlide(path)


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
            "no slide that openslide reads; to read pictures, name their folder"
        ) from None
    except openslide.OpenSlideError as error:
        raise UnreadableImage(_damage(error)) from error


def mpp_of(slide: Any) -> float | None:
    """The micrometres a pixel of level 0; None: the slide does not say, or says what none has."""
    found = []
    for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y):
        try:
            found.append(float(slide.properties[name]))
        except (KeyError, ValueError):
            return None
    known = all(_LEAST_MPP <= value <= _MOST_MPP for value in found)
    return math.sqrt(found[0] * found[1]) if known else None


def slide_tiles(path: str, tiling: Tiling, budget: Budget) -> tuple[list[list[int]], bool]:
    """The tiles of a slide that hold tissue.

    Args:
        path: of the slide.
        tiling: how it is cut.
        budget: bounds what all threads together hold.

    Returns:
        x, y and width of each in pixels of level 0, from top to bottom; and whether the slide
        states its resolution.

    Raises:
        UnreadableImage: it is damaged, has no tissue, or is smaller than a tile.
    """
    slide = open_slide(path)
    width, height = slide.dimensions
    mpp = mpp_of(slide)
    scale = 1.0 if mpp is None or tiling.mpp is None else tiling.mpp / mpp
    side = max(1, round(tiling.tile * scale))
    columns, rows = width // side, height // side
    if not columns or not rows:
        raise UnreadableImage(
            f"a slide of {width} x {height} pixels, smaller than a tile of {side} x {side}"
        )
    if columns * rows > _MOST_TILES:
        raise UnreadableImage(
            f"{columns * rows} tiles, more than the {_MOST_TILES} that a slide may have; take "
            "larger ones or more micrometres a pixel"
        )
    ys, xs = (part.ravel() * side for part in np.mgrid[0:rows, 0:columns])
    overview = _overview(slide, budget)
    shrunk = np.array([overview.shape[0] / height, overview.shape[1] / width])
    shares = tissue_shares(
        tissue_mask(overview), np.stack([ys, xs], axis=1) * shrunk, float(side * shrunk.mean())
    )
    kept = shares >= tiling.tissue
    if not kept.any():
        raise UnreadableImage(f"none of its {len(shares)} tiles holds tissue")
    tiles = np.stack([xs, ys, np.full(len(xs), side)], axis=1)[kept]
    return [[int(number) for number in tile] for tile in tiles], mpp is not None


def read_tile(tile: SlideTile) -> UInt8[np.ndarray, "side side 3"]:
    """A tile as it is stored in the coarsest level that is no coarser than asked for.

    Transparent pixels, which were not scanned, are white.

    Raises:
        UnreadableImage: it is damaged.
    """
    slide = open_slide(tile.slide)
    level, side = _level_and_side(slide, tile)
    return _region(slide, (tile.x, tile.y), level, (side, side))


def tile_side(tile: SlideTile) -> int:
    """The side of a tile as `read_tile` reads it.

    Raises:
        UnreadableImage: its slide cannot be opened.
    """
    return _level_and_side(open_slide(tile.slide), tile)[1]


def _level_and_side(slide: Any, tile: SlideTile) -> tuple[int, int]:
    level = slide.get_best_level_for_downsample(max(1.0, tile.width / tile.tile * 1.01))
    return level, max(1, round(tile.width / slide.level_downsamples[level]))


def _region(
    slide: Any, corner: tuple[int, int], level: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "rows columns 3"]:
    try:
        pixels = np.asarray(slide.read_region(corner, level, size))
    except openslide.OpenSlideError as error:
        _opened.cache_clear()  # openslide reads nothing more of a slide after an error
        raise UnreadableImage(_damage(error)) from error
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colour)
    white = 255 - alpha.astype(np.uint16)  # openslide's colours are not premultiplied
    return ((colour * alpha.astype(np.uint16) + 127) // 255 + white).astype(np.uint8)


def _overview(slide: Any, budget: Budget) -> UInt8[np.ndarray, "rows columns 3"]:
    """A small picture of the whole slide, read in strips of its coarsest level."""
    level = slide.level_count - 1
    width, height = slide.level_dimensions[level]
    if width * height > _MOST_OVERVIEW_PIXELS:
        raise UnreadableImage(
            f"its coarsest level has {width} x {height} pixels, too many to find tissue in; write "
            "it with smaller levels"
        )
    every = max(1, -(-max(width, height) // _OVERVIEW))
    at_once = max(every, _STRIP_PIXELS // width // every * every)
    down = slide.level_downsamples[level]
    strips = []
    with budget.claim(min(at_once, height) * width, work=width * height):
        for top in range(0, height - height % every or height, at_once):
            rows = min(at_once, height - top)
            strip = _region(slide, (0, round(top * down)), level, (width, rows))
            strips.append(_means(strip, every))
    return np.concatenate(strips)


def _means(
    pixels: UInt8[np.ndarray, "height width 3"], every: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The means of squares; those that the picture does not fill are left out."""
    rows, columns = max(1, pixels.shape[0] // every), max(1, pixels.shape[1] // every)
    cut = pixels[: rows * every, : columns * every]
    sums = np.add.reduceat(cut.astype(np.uint32), np.arange(0, len(cut), every)[:rows], axis=0)
    sums = np.add.reduceat(sums, np.arange(0, cut.shape[1], every)[:columns], axis=1)
    return (sums / (cut.shape[0] / rows * (cut.shape[1] / columns))).round().astype(np.uint8)


def _damage(error: Exception) -> str:
    return f"a damaged slide ({' '.join(str(error).split())[:200]})"
