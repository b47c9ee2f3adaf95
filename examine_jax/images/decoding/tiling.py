"""How a whole slide is cut into tiles, and where a tile lies."""

import dataclasses
import math
import re
from typing import Any

_TILE = re.compile(r"(.*)\?x=(\d{1,9})&y=(\d{1,9})&w=(\d{1,9})", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How a whole slide is cut into tiles.

    Attributes:
        mpp: micrometres a pixel; None: the pixels of a level.
        tile: the side of a tile, in these pixels.
        tissue: a tile is an image if this share of it or more is tissue.
        overlap: how many of these pixels neighbouring tiles share.
        level: of the slide, 0 the finest; None: as `mpp` says, or 0.
    """

    mpp: float | None = 0.5
    tile: int = 256
    tissue: float = 0.25
    overlap: int = 0
    level: int | None = None

    def __post_init__(self) -> None:
        if self.mpp is not None and not (math.isfinite(self.mpp) and 0.01 <= self.mpp <= 100):
            raise ValueError(f"mpp={self.mpp}: micrometres a pixel, from 0.01 to 100")
        if not 16 <= self.tile <= 4096:
            raise ValueError(f"tile_size={self.tile}: pixels, from 16 to 4096")
        if not 0 <= self.tissue <= 1:
            raise ValueError(f"tissue={self.tissue}: a share, from 0 to 1")
        if not 0 <= self.overlap < self.tile:
            raise ValueError(
                f"overlap={self.overlap}: pixels, from 0 to one less than the tile's side, "
                f"{self.tile}"
            )
        if self.level is not None and self.level < 0:
            raise ValueError(f"level={self.level}: 0 is the finest level; the next is 1")
        if self.level is not None and self.mpp is not None:
            raise ValueError(
                f"level={self.level} and mpp={self.mpp} both say how fine the pixels are; give one"
            )


# 256 pixels of half a micrometre.
HALF_MICROMETRE = Tiling()


def tiling_of(
    mpp: float | None,
    tile: int | None,
    tissue: float | None,
    overlap: int | None = None,
    level: int | None = None,
) -> Tiling:
    """As a user asks for it; None: the default. A level takes the place of the default `mpp`.

    Raises:
        ValueError: as `Tiling`.
    """
    asked = {"mpp": mpp, "tile": tile, "tissue": tissue, "overlap": overlap, "level": level}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if level is not None:
        given = {"mpp": None, **given}
    return dataclasses.replace(HALF_MICROMETRE, **given)


@dataclasses.dataclass(frozen=True)
class SlideTile:
    """A tile of a slide.

    Attributes:
        slide: the path of the slide.
        name: the slide's path and the tile's place in it, for messages.
        x, y: its upper left corner, in pixels of level 0.
        width: its side, in pixels of level 0.
        tile: the side in pixels that is read, about.
    """

    slide: str
    name: str
    x: int
    y: int
    width: int
    tile: int


def mark(x: int, y: int, width: int) -> str:
    """What follows a slide's name in the name of a tile."""
    return f"?x={x}&y={y}&w={width}"


def place_in_slide(name: str) -> tuple[str, int, int, int] | None:
    """The slide's name, x, y and width of a tile by its name; None: it names no tile."""
    found = _TILE.fullmatch(name)
    return None if found is None else (found[1], int(found[2]), int(found[3]), int(found[4]))
