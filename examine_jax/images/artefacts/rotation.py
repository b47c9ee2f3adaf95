"""A picture that is turned."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact


@dataclasses.dataclass(frozen=True)
class Rotation(Artefact):
    """The cassette or the film was turned; what it did not see is black.

    Strength is the angle: 90 degrees at 1, in proportion below, to either side.

    Source: Hendrycks and Dietterich, ICLR 2019 (rotation, among the perturbations).
    """

    name: ClassVar[str] = "rotated"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        from scipy.ndimage import map_coordinates

        angle = np.deg2rad(90 * self.strength) * (1 if draws.integers(2) else -1)
        height, width = pixels.shape[:2]
        dy = np.arange(height)[:, None] - (height - 1) / 2
        dx = np.arange(width)[None] - (width - 1) / 2
        # Rounded, so that 90 degrees meet pixels exactly.
        y = np.round((height - 1) / 2 + dy * np.cos(angle) - dx * np.sin(angle), 9)
        x = np.round((width - 1) / 2 + dy * np.sin(angle) + dx * np.cos(angle), 9)
        at = np.stack([y, x])
        return np.stack(
            [
                map_coordinates(pixels[..., channel], at, order=1, mode="constant")
                for channel in range(pixels.shape[2])
            ],
            axis=-1,
        )
