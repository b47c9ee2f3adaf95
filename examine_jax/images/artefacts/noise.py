"""The noise of a sensor: Gaussian, with mean zero."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact


@dataclasses.dataclass(frozen=True)
class SensorNoise(Artefact):
    """Gaussian noise of mean zero, independent in each pixel and channel.

    Strength is its standard deviation: 15% of the range of values at 1, in proportion below.
    Clipping to bytes shifts the mean where the image is nearly black or white.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    name: ClassVar[str] = "noise"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        return pixels + 0.15 * 255 * self.strength * draws.standard_normal(pixels.shape)
