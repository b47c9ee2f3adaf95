"""Strokes of a marker pen on the glass or on the skin."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.geometry import curve_across, edge, smooth_field, stroke

# Optical densities of red, green and blue light of one layer of ink.
_INKS = {
    "black": (1.9, 1.9, 1.8),
    "blue": (1.9, 1.3, 0.35),
    "green": (1.7, 0.55, 1.2),
    "red": (0.3, 1.7, 1.5),
}


@dataclasses.dataclass(frozen=True)
class PenStroke(Artefact):
    """A stroke of a marker pen: black, blue, green or red ink absorbs light over the tissue.

    The ink lies on the cover slip, so that its edges are out of focus; its density varies along the
    stroke. Strength widens the stroke (from 10% to 40% of the shorter side) and thickens the ink
    (its optical density from 45% to 100% of a fresh mark's).

    Source: HistoQC (Janowczyk et al., JCO Clinical Cancer Informatics 2019), pen markings on
    slides; Winkler et al., JAMA Dermatology 2019, surgical skin markings in dermoscopy.
    """

    name: ClassVar[str] = "pen"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        ink = np.array(list(_INKS.values())[draws.integers(len(_INKS))])
        width = (0.1 + 0.3 * self.strength) * draws.uniform(0.85, 1.15)
        distance, place = stroke(pixels.shape, curve_across(pixels.shape, draws))
        ragged = 0.012 * smooth_field(pixels.shape, draws, 9.0)
        mask = edge(np.abs(distance) - width / 2 + ragged, 0.05)
        # Ink gathers at the rim of a stroke, and runs thin along it.
        rim = 1 + 0.35 * np.exp(-(((np.abs(distance) - 0.42 * width) / (0.12 * width)) ** 2))
        waves = np.sin(place * draws.uniform(0.5, 1.2) + draws.uniform(0, 6))
        streaks = 1 + 0.12 * smooth_field(pixels.shape, draws, 5.0) + 0.06 * waves
        density = (0.45 + 0.55 * self.strength) * mask * rim * np.clip(streaks, 0.4, 1.6)
        if pixels.shape[2] == 1:
            ink = np.array([ink.mean()])
        return pixels * np.exp(-density[..., None] * ink)
