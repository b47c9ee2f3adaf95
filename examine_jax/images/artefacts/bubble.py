"""Air bubbles under the cover slip or in the gel."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.blur import convolve, disc
from examine_jax.images.artefacts.geometry import coordinates, edge, extent, pixel, smooth_field


@dataclasses.dataclass(frozen=True)
class Bubbles(Artefact):
    """Air bubbles: a dark rim by refraction, a bright line inside it, a washed-out interior.

    Strength is the radius of the largest bubble: from 15% to 45% of the shorter side. One to three
    smaller ones lie beside it.

    Source: Kanwal et al., IEEE Access 2022; Taqi et al., A review of artifacts in histopathology,
    Journal of Oral and Maxillofacial Pathology 2018.
    """

    name: ClassVar[str] = "bubbles"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        height, width = extent(pixels.shape)
        y, x = coordinates(pixels.shape)
        largest = 0.15 + 0.3 * self.strength
        side = min(pixels.shape[:2])
        behind = convolve(pixels, disc(0.015 * side))
        thin = pixel(pixels.shape)
        centre, radius = draws.uniform(0.25, 0.75, 2) * (height, width), largest
        dark = np.array([0.8, 0.84, 0.86])[: pixels.shape[2]] * draws.uniform(0.75, 1)
        circles = [(centre, radius)]
        for _ in range(draws.integers(1, 4)):
            small = largest * draws.uniform(0.12, 0.35)
            turn, far = draws.uniform(0, 2 * np.pi), radius + small * draws.uniform(1.1, 3)
            circles.append((centre + far * np.array([np.sin(turn), np.cos(turn)]), small))
        for at, radius in circles:
            wobble = 1 + 0.04 * smooth_field(pixels.shape, draws, 2.0)
            dy, dx = y - at[0], x - at[1]
            distance = np.hypot(dy, dx) * wobble - radius
            inside = edge(distance, 0.01 + thin)
            rim_width = (0.04 * radius + 0.006 + 0.4 * thin) * (1 + 0.3 * (dy + dx) / radius)
            rim = np.exp(-((distance / np.maximum(rim_width, 0.004)) ** 2))
            bright_width = 0.05 * radius + 0.5 * thin
            bright = np.exp(-(((distance + 0.16 * radius) / bright_width) ** 2)) * inside
            lit = np.clip(0.5 + 0.35 * (dy + dx) / radius, 0, 1)  # light comes from a corner
            washed = 0.6 * behind + 0.2 * behind.mean(axis=(0, 1)) + 0.2 * 235
            pixels = pixels + inside[..., None] * (washed - pixels)
            pixels = pixels * (1 - (rim * (1 - 0.35 * lit))[..., None] * dark)
            pixels = pixels + (60 * bright * lit)[..., None]
        return pixels
