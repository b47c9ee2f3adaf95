"""An inverted picture: bone is black."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact


@dataclasses.dataclass(frozen=True)
class Inversion(Artefact):
    """Black and white are exchanged, as when a reader overlooks the photometric interpretation.

    Inversion has no degrees: every strength gives the same image.

    Source: DICOM PS3.3, Photometric Interpretation (MONOCHROME1 and MONOCHROME2).
    """

    name: ClassVar[str] = "inverted"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        return 255 - pixels
