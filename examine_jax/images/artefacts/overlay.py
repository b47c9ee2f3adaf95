"""What an ultrasound device writes into a frozen picture."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.geometry import window
from examine_jax.images.artefacts.lettering import lettering, paste

_SETTINGS = ("FR 32Hz", "MI 1.1", "TIs 0.4", "G 62%", "12.0cm", "2D 55%", "C 50", "P Low")
_COLOURS = ((245, 245, 245), (250, 225, 60), (90, 235, 120))


@dataclasses.dataclass(frozen=True)
class FrozenOverlay(Artefact):
    """A frozen picture with burnt-in annotation: text, a measured distance, depth scale, grey bar.

    Strength is the size of the letters (from 5% to 10% of the shorter side), the number of lines
    (from 2 to 6) and of measurements (one below .66, two from there).

    Source: DICOM PS3.3, Burned In Annotation (0028,0301).
    """

    name: ClassVar[str] = "overlay"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        height, width = pixels.shape[:2]
        side = min(height, width)
        letter = max(1, round((0.05 + 0.05 * self.strength) * side))
        colour = np.array(_COLOURS[draws.integers(len(_COLOURS))], float)
        cover = np.zeros((height, width))
        margin = round(0.02 * side)
        lines = round(2 + 4 * self.strength)
        names = ["FROZEN", *draws.permutation(_SETTINGS)[: lines - 1]]
        left = bool(draws.integers(2))
        for number, text in enumerate(names):
            mask = lettering(str(text), letter)
            x = margin if left else width - mask.shape[1] - round(0.1 * side)
            paste(cover, mask, margin + number * round(1.15 * letter), x)
        self._depth_scale(cover)
        measurements = 2 if self.strength >= 0.66 else 1
        for number in range(measurements):
            ends = draws.uniform(0.3, 0.8, (2, 2)) * (height, width)
            _caliper(cover, ends, 0.025 * side)
            reading = f"{number + 1} D {np.hypot(*(ends[0] - ends[1])) * 12 / height:.1f}cm"
            mask = lettering(reading, letter)
            y = height - margin - (measurements - number) * round(1.15 * letter)
            paste(cover, mask, y, margin)
        if pixels.shape[2] == 1:
            colour = np.array([245.0])
        spoilt = pixels + cover[..., None] * (colour - pixels)
        return self._grey_bar(spoilt, left)

    @staticmethod
    def _depth_scale(cover: Float[np.ndarray, "h w"]) -> None:
        height, width = cover.shape
        side = min(height, width)
        for number, y in enumerate(np.linspace(0.05, 0.95, 13)):
            long = 0.05 if number % 5 == 0 else 0.025
            top, right = round(y * (height - 1)), width - round(0.01 * side)
            thick = max(1, round(0.008 * side))
            cover[top : top + thick, max(0, right - max(1, round(long * side))) : right] = 0.9

    @staticmethod
    def _grey_bar(pixels: Float[np.ndarray, "h w c"], left: bool) -> Float[np.ndarray, "h w c"]:
        height, width = pixels.shape[:2]
        side = min(height, width)
        wide, high = max(1, round(0.035 * side)), max(1, round(0.35 * height))
        x = width - round(0.08 * side) - wide if left else round(0.02 * side)
        x, top = max(0, x), round(0.3 * height)
        ramp = np.linspace(255, 0, high)[:, None, None]
        spoilt = pixels.copy()
        spoilt[top : top + high, x : x + wide] = ramp[: max(0, height - top)]
        return spoilt


def _caliper(cover: Float[np.ndarray, "h w"], ends: Float[np.ndarray, "2 2"], arm: float) -> None:
    """Draws a cross at both ends and a dotted line between them, in place."""
    side = min(cover.shape)
    y, x = np.arange(cover.shape[0])[:, None], np.arange(cover.shape[1])[None]
    thick = max(0.6, 0.005 * side)
    for end in ends:
        rows, columns = window(cover.shape, end / side, 2 * arm / side)
        dy, dx = np.abs(y[rows] - end[0]), np.abs(x[:, columns] - end[1])
        cross = np.maximum((dy <= thick) & (dx <= arm), (dx <= thick) & (dy <= arm))
        np.maximum(cover[rows, columns], cross, out=cover[rows, columns])
    for share in np.linspace(0, 1, 12)[1:-1]:
        at = ends[0] + share * (ends[1] - ends[0])
        rows, columns = window(cover.shape, at / side, 2 * thick / side)
        dot = np.hypot(y[rows] - at[0], x[:, columns] - at[1]) <= thick
        np.maximum(cover[rows, columns], dot, out=cover[rows, columns])
