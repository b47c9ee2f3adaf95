"""Dust and fibres on the glass or the lens."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.geometry import (
    coordinates,
    curve_across,
    edge,
    extent,
    pixel,
    smooth_field,
    stroke,
    window,
)


@dataclasses.dataclass(frozen=True)
class Dust(Artefact):
    """Dark irregular specks, and a fibre or two.

    Strength is the number of specks (from 4 to 24), the radius of the largest (from 2% to 5% of the
    shorter side) and the fibres (none below .5, then one, two at 1).

    Source: HistoQC (Janowczyk et al., JCO Clinical Cancer Informatics 2019); Taqi et al., Journal
    of Oral and Maxillofacial Pathology 2018.
    """

    name: ClassVar[str] = "dust"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        height, width = extent(pixels.shape)
        y, x = coordinates(pixels.shape)
        thin = pixel(pixels.shape)
        colour = np.array([52.0, 42.0, 34.0])[: pixels.shape[2]] * draws.uniform(0.5, 1.3)
        rough = smooth_field(pixels.shape, draws, 24.0)
        cover = np.zeros(pixels.shape[:2])
        largest = 0.02 + 0.03 * self.strength
        for _ in range(round(4 + 20 * self.strength)):
            at = draws.uniform(0, 1, 2) * (height, width)
            radius = largest * draws.uniform(0.25, 1) ** 1.5
            angle, flat = draws.uniform(0, np.pi), draws.uniform(0.5, 1)
            rows, columns = window(pixels.shape, at, 3 * radius + 2 * thin)
            dy, dx = y[rows] - at[0], x[:, columns] - at[1]
            along = dy * np.sin(angle) + dx * np.cos(angle)
            across = (dy * np.cos(angle) - dx * np.sin(angle)) / flat
            distance = np.hypot(along, across) + 0.25 * radius * rough[rows, columns] - radius
            speck = draws.uniform(0.65, 1) * edge(distance, 0.4 * radius + thin)
            np.maximum(cover[rows, columns], speck, out=cover[rows, columns])
        for _ in range(int(2 * self.strength)):
            points = curve_across(pixels.shape, draws, 0.5)
            start, length = draws.integers(4, 10), draws.integers(5, 9)
            distance, _ = stroke(pixels.shape, points[start : start + length])
            fibre = edge(np.abs(distance) - 0.008, 0.008 + thin)
            cover = np.maximum(cover, 0.8 * fibre)
        return pixels + cover[..., None] * (colour - pixels)
