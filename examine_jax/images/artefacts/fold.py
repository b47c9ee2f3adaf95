"""Folded tissue: light passes through two or three layers of it."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.blur import convolve, disc
from examine_jax.images.artefacts.geometry import (
    curve_across,
    edge,
    pixel,
    shifted,
    smooth_field,
    stroke,
)


@dataclasses.dataclass(frozen=True)
class Fold(Artefact):
    """A fold of the section: a dark wavy band where the tissue lies upon itself.

    Optical densities add (Beer and Lambert): in the band, that of tissue from beside the band is
    added, above the plane of focus. Strength widens the band (from 8% to 35% of the shorter side)
    and raises the added density (from .8 to 2.2 layers).

    Source: Kanwal et al., The devil is in the details, IEEE Access 2022; Schoemig-Markiefka et al.,
    Quality control stress test for deep learning-based diagnostic model in digital pathology,
    Modern Pathology 2021.
    """

    name: ClassVar[str] = "fold"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        width = (0.08 + 0.27 * self.strength) * draws.uniform(0.85, 1.15)
        layers = 0.8 + 1.4 * self.strength
        distance, _ = stroke(pixels.shape, curve_across(pixels.shape, draws, 0.3))
        profile = width / 2 * np.clip(1 + 0.22 * smooth_field(pixels.shape, draws, 3.0), 0.3, 1.8)
        mask = edge(np.abs(distance) - profile, 0.02 + pixel(pixels.shape))
        # The crest of a fold is steep: dark lines run along its two edges.
        crest = np.exp(-(((np.abs(distance) - 0.88 * profile) / (0.016 + 0.05 * width)) ** 2))
        density = -np.log((pixels + 1) / 256)
        angle = draws.uniform(0, 2 * np.pi)
        above = shifted(density, width * np.sin(angle), width * np.cos(angle))
        above = convolve(above, disc(0.012 * min(pixels.shape[:2])))
        # A fold that meets a gap in the tissue is still tissue.
        above = 0.5 * above + 0.5 * np.quantile(density, 0.75, axis=(0, 1))
        uneven = np.clip(1 + 0.18 * smooth_field(pixels.shape, draws, 4.0), 0.5, 1.6)
        added = (layers * mask * uneven * (1 + 0.3 * crest))[..., None] * above
        return 256 * np.exp(-(density + added)) - 1
