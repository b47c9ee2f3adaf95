"""Lead letters and burnt-in text on X-ray pictures."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact
from examine_jax.images.artefacts.lettering import lettering, paste

_LETTERS = ("L", "R")
_TEXTS = ("PORTABLE", "AP SUPINE", "ERECT PA", "AP SITTING", "MOBILE 10:42")


@dataclasses.dataclass(frozen=True)
class Markers(Artefact):
    """White letters: a side marker of lead, and at higher strength lines of text.

    Strength is the letter's height (from 12% to 45% of the shorter side) and the number of lines of
    text (none below .5, one below 1, two at 1).

    Source: Zech et al., Variable generalization performance of a deep learning model to detect
    pneumonia in chest radiographs, PLoS Medicine 2018 (networks read the markers).
    """

    name: ClassVar[str] = "markers"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        height, width = pixels.shape[:2]
        side = min(height, width)
        cover = np.zeros((height, width))
        letter = lettering(
            _LETTERS[draws.integers(len(_LETTERS))],
            max(1, round((0.12 + 0.33 * self.strength) * side)),
        )
        at = draws.uniform(0.02, 0.3, 2)
        left = bool(draws.integers(2))
        paste(
            cover,
            letter,
            round(at[0] * height),
            round(at[1] * width) if left else width - letter.shape[1] - round(at[1] * width),
        )
        for number in range(int(2 * self.strength)):
            text = _TEXTS[draws.integers(len(_TEXTS))]
            line = lettering(text, max(1, round((0.08 + 0.08 * self.strength) * side)))
            y = height - (number + 1) * round(1.2 * line.shape[0]) - round(0.02 * side)
            paste(cover, line, y, round(draws.uniform(0.02, 0.2) * width))
        brightness = draws.uniform(225, 252)
        return pixels + cover[..., None] * np.maximum(brightness - pixels, 0)
