"""A small picture of a whole slide, made from one of its levels. It is never held whole."""

from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.unreadable import UnreadableImage

# The longer side of the picture is no more than this.
LONGEST_SIDE = 1500

# It is made from the coarsest level whose longer side has so many pixels.
_LEAST_SIDE = 512

# Pixels of a strip of rows that is read at once.
_STRIP_PIXELS = 2**24

# A level of more pixels is not read whole.
_MOST_PIXELS = 2**30

# A slide, (x, y) in pixels of level 0, a level, (width, height) in its pixels -> these pixels.
ReadRegion = Callable[[Any, tuple[int, int], int, tuple[int, int]], np.ndarray]


def overview_of(
    slide: Any, read: ReadRegion, budget: Budget
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A small picture of the whole slide, read in strips.

    Args:
        slide: has `level_dimensions` and `level_downsamples` as openslide has them.
        read: reads a part of it.
        budget: bounds what all threads together hold.

    Raises:
        UnreadableImage: it is damaged, or each of its levels is too large.
    """
    sides = [max(size) for size in slide.level_dimensions]
    level = max((i for i, side in enumerate(sides) if side >= _LEAST_SIDE), default=0)
    width, height = slide.level_dimensions[level]
    if width * height > _MOST_PIXELS:
        raise UnreadableImage(
            f"its coarsest level has {width} x {height} pixels, too many to find tissue in; write "
            "it with smaller levels"
        )
    every = max(1, -(-max(width, height) // LONGEST_SIDE))
    at_once = max(every, _STRIP_PIXELS // width // every * every)
    down = slide.level_downsamples[level]
    strips = []
    with budget.claim(min(at_once, height) * width, work=width * height):
        for top in range(0, height - height % every or height, at_once):
            rows = min(at_once, height - top)
            strip = read(slide, (0, round(top * down)), level, (width, rows))
            strips.append(_means(strip, every))
    return np.concatenate(strips)


def _means(
    pixels: UInt8[np.ndarray, "height width 3"], every: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The means of squares; those that the picture does not fill are left out."""
    if every == 1:
        return pixels
    rows, columns = max(1, pixels.shape[0] // every), max(1, pixels.shape[1] // every)
    cut = pixels[: rows * every, : columns * every]
    sums = np.add.reduceat(cut.astype(np.uint32), np.arange(0, len(cut), every)[:rows], axis=0)
    sums = np.add.reduceat(sums, np.arange(0, cut.shape[1], every)[:columns], axis=1)
    return (sums / (cut.shape[0] / rows * (cut.shape[1] / columns))).round().astype(np.uint8)
