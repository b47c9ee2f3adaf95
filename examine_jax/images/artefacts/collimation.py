"""The shadow of an X-ray tube's collimator."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.geometry import coordinates, edge, extent


@dataclasses.dataclass(frozen=True)
class Collimation(Artefact):
    """The field was set too small: beyond a slightly turned rectangle the image is black.

    Strength is the share of the area in shadow: 70% at 1, in proportion below. The shutters' edges
    are soft by the tube's focal spot, and a little scattered radiation lies beyond them.

    Source: DICOM PS3.3, X-Ray Collimator module.
    """

    name: ClassVar[str] = "collimation"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        height, width = extent(pixels.shape)
        y, x = coordinates(pixels.shape)
        seen = np.sqrt(1 - 0.7 * self.strength)
        stretch = draws.uniform(0.85, 1.15)
        half = np.minimum(seen * np.array([stretch, 1 / stretch]), 1) * (height / 2, width / 2)
        room = np.array([height / 2, width / 2]) - half
        at = np.array([height / 2, width / 2]) + 0.8 * room * draws.uniform(-1, 1, 2)
        angle = np.deg2rad(draws.uniform(-4, 4))
        dy, dx = y - at[0], x - at[1]
        along = np.abs(dy * np.cos(angle) - dx * np.sin(angle)) - half[0]
        across = np.abs(dy * np.sin(angle) + dx * np.cos(angle)) - half[1]
        light = edge(np.maximum(along, across), draws.uniform(0.01, 0.03))[..., None]
        scattered = 4 + 0.02 * pixels + 1.0 * draws.standard_normal(pixels.shape[:2])[..., None]
        return scattered + light * (pixels - scattered)
