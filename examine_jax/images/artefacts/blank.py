"""Glass without tissue."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.geometry import coordinates, edge, extent, smooth_field


@dataclasses.dataclass(frozen=True)
class BlankGlass(Artefact):
    """Most of the image, or all of it, is bare glass: near white, slightly tinted and shaded.

    Strength is the share of the area that is glass: half of it towards 0, all of it at 1. Tissue
    stays along a side.

    Source: HistoQC (Janowczyk et al., JCO Clinical Cancer Informatics 2019), tissue detection.
    """

    name: ClassVar[str] = "blank"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        channels = pixels.shape[2]
        y, x = coordinates(pixels.shape)
        height, width = extent(pixels.shape)
        angle = draws.uniform(0, 2 * np.pi)
        slope = (y - height / 2) * np.sin(angle) + (x - width / 2) * np.cos(angle)
        tint = draws.uniform(232, 246) + draws.uniform(-3, 3, channels)
        glass = tint + (3 * draws.uniform(-1, 1) * slope)[..., None]
        glass = glass + 0.8 * smooth_field(pixels.shape, draws, 3.0)[..., None]
        grain = draws.standard_normal(pixels.shape)
        glass = glass + 1.2 * grain
        if self.strength == 1:
            return glass
        height_map = slope + 0.09 * smooth_field(pixels.shape, draws, 4.0)
        border = np.quantile(height_map, 0.5 + 0.5 * self.strength)
        return glass + edge(border - height_map, 0.03)[..., None] * (pixels - glass)
