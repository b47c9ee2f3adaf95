"""How a whole slide is cut into tiles, and where a tile lies."""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How a whole slide is cut into tiles.

    Attributes:
        mpp: micrometres a pixel; None: the pixels of level 0, the finest.
        tile: the side of a tile, in these pixels.
        tissue: a tile is an image if this share of it or more is tissue.
    """

    mpp: float | None = 0.5
    tile: int = 256
    tissue: float = 0.25

    def __post_init__(self) -> None:
        if self.mpp is not None and not (math.isfinite(self.mpp) and 0.01 <= self.mpp <= 100):
            raise ValueError(f"mpp={self.mpp}: micrometres a pixel, from 0.01 to 100")
        if not 16 <= self.tile <= 4096:
            raise ValueError(f"tile_size={self.tile}: pixels, from 16 to 4096")
        if not 0 <= self.tissue <= 1:
            raise ValueError(f"tissue={self.tissue}: a share, from 0 to 1")


# 256 pixels of half a micrometre.
HALF_MICROMETRE = Tiling()


def tiling_of(mpp: float | None, tile: int | None, tissue: float | None) -> Tiling:
    """As a user asks for it; None: the default."""
    asked = {"mpp": mpp, "tile": tile, "tissue": tissue}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
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
