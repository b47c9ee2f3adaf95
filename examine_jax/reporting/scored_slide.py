"""A whole slide whose tiles are scored: what its pictures and its files for viewers are made of."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int
from examine_jax.images.slide_overviews import SlideOverview


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredSlide:
    """The tiles of a slide. Row i of every array is tile i.

    Attributes:
        name: the slide's, as it may be shown.
        overview: a small picture of it, its tissue and its size.
        tiles: x, y and width of each tile in pixels of level 0.
        gap, score: of each.
        rank: among all images of the set, from 1.
        outlier: how strange each tile is; None: not known.
        findings: the names of what was found in each.
        usable: whether each tile is of use; None: not known.
        order: the place of each tile among those to label, from 1; 0: it is not chosen.
    """

    name: str
    overview: SlideOverview
    tiles: Int[np.ndarray, "n 3"]
    gap: Float[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]
    rank: Int[np.ndarray, " n"]
    outlier: Float[np.ndarray, " n"] | None
    findings: tuple[tuple[str, ...], ...]
    usable: Bool[np.ndarray, " n"] | None
    order: Int[np.ndarray, " n"]
