"""Too much light, or too little."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact

_GAMMA = 2.2  # a display's


@dataclasses.dataclass(frozen=True)
class Overexposure(Artefact):
    """Too much light: bright parts become white.

    Strength is the exposure: 2 stops (4 times the light) at 1, in proportion below.

    Source: Hendrycks and Dietterich, ICLR 2019 (brightness), in light instead of pixel values;
    Schoemig-Markiefka et al., Modern Pathology 2021.
    """

    name: ClassVar[str] = "overexposed"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        stops = 2 * self.strength * draws.uniform(0.9, 1.1)
        return pixels * 2 ** (stops / _GAMMA)


@dataclasses.dataclass(frozen=True)
class Underexposure(Artefact):
    """Too little light: the image is dark, and the sensor's noise shows.

    Strength is the exposure: 4 stops too few (2 ** -4 of the light) at 1, in proportion below, with
    read-out noise of up to 2 values.

    Source: as of `Overexposure`.
    """

    name: ClassVar[str] = "underexposed"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        stops = 4 * self.strength * draws.uniform(0.9, 1.1)
        noise = 2 * self.strength * draws.standard_normal(pixels.shape)
        return pixels * 2 ** (-stops / _GAMMA) + noise
