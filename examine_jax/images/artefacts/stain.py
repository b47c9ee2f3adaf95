"""A shifted stain: haematoxylin and eosin out of proportion."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact

# Optical densities (red, green, blue) of haematoxylin, eosin and DAB: Ruifrok and Johnston's table.
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


@dataclasses.dataclass(frozen=True)
class StainShift(Artefact):
    """One of haematoxylin and eosin is too strong and the other too weak.

    The image's optical density is divided into stains, which are scaled. Strength is the change: at
    1 one stain's density is multiplied by 2.2 and the other's divided by it, in proportion (of the
    logarithm) below. A grey image's density is scaled as a whole.

    Source: Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution,
    2001; Tellez et al., Quantifying the effects of data augmentation and stain color normalization,
    Medical Image Analysis 2019.
    """

    name: ClassVar[str] = "stain"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        factor = 2.2 ** (self.strength * (1 if draws.integers(2) else -1))
        density = -np.log((pixels + 1) / 256)
        if pixels.shape[2] == 1:
            return 256 * np.exp(-factor * density) - 1
        stains = _STAINS / np.sqrt((_STAINS**2).sum(axis=1, keepdims=True))
        amounts = _product(density, np.linalg.inv(stains))
        other = draws.uniform(0.85, 1.15)
        scaled = amounts * np.array([factor, 1 / factor, other])
        return 256 * np.exp(-_product(scaled, stains)) - 1


def _product(
    values: Float[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "h w 3"]:
    """Returns values @ matrix, added in a fixed order: no BLAS kernel decides the last bit."""
    return sum(values[..., row, None] * matrix[row] for row in range(3))
