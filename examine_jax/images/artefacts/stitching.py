"""A seam between two fields that the scanner put together wrongly."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.geometry import coordinates, extent, shifted


@dataclasses.dataclass(frozen=True)
class TileStitching(Artefact):
    """A straight seam: beyond it the image is displaced along the seam and differs in brightness.

    Strength is the displacement (15% of the shorter side at 1) and the difference in brightness
    (18% at 1), both in proportion below. The seam runs along rows or columns.

    Source: HistoQC (Janowczyk et al., JCO Clinical Cancer Informatics 2019); Kanwal et al., IEEE
    Access 2022.
    """

    name: ClassVar[str] = "stitching"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        y, x = coordinates(pixels.shape)
        height, width = extent(pixels.shape)
        along_rows = bool(draws.integers(2))
        at = draws.uniform(0.3, 0.7)
        beyond = y > at * height if along_rows else x > at * width
        move = 0.15 * self.strength * (1 if draws.integers(2) else -1) * draws.uniform(0.8, 1.2)
        gain = 1 + 0.18 * self.strength * (1 if draws.integers(2) else -1)
        overlap = draws.uniform(0.01, 0.03) * self.strength
        moved = shifted(pixels, *((overlap, move) if along_rows else (move, overlap)))
        return np.where(beyond[..., None], gain * moved, pixels)
