"""Strong JPEG compression."""

import dataclasses
import io
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact, to_bytes


@dataclasses.dataclass(frozen=True)
class JPEGCompression(Artefact):
    """The image went through a JPEG file of low quality: blocks of 8 pixels and ringing.

    Strength sets the quality of the Independent JPEG Group's scale: 28 at .33, 17 at .66, 5 at 1.
    Colour is stored at half the resolution. A block has 8 pixels whatever the image's size. Other
    versions of libjpeg may round a byte otherwise.

    Source: Wallace, The JPEG still picture compression standard, 1992; Hendrycks and Dietterich,
    ICLR 2019; Schoemig-Markiefka et al., Modern Pathology 2021.
    """

    name: ClassVar[str] = "jpeg"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        from PIL import Image

        quality = round(40 - 35 * self.strength)
        stored = io.BytesIO()
        values = to_bytes(pixels)
        image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
        image.save(stored, "JPEG", quality=quality, subsampling="4:2:0")
        with Image.open(stored) as read:
            return np.asarray(read, np.float64).reshape(pixels.shape)
