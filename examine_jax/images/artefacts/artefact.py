"""What all artefacts share: a strength, and `apply`, which spoils one image."""

import abc
import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float, Shaped, UInt8

WEAK, MIDDLE, STRONG = 0.33, 0.66, 1.0


@dataclasses.dataclass(frozen=True)
class Artefact(abc.ABC):
    """One kind of artefact at one strength.

    Sizes are shares of the image's shorter side, so that an artefact looks the same at all sizes.
    Only `JPEGCompression` works in pixels: its blocks have 8.

    Attributes:
        strength: above 0, up to 1. `WEAK` is visible to one who looks for it, `MIDDLE` to anyone,
            `STRONG` leaves little to read. Each kind says what its strength means physically.
    """

    name: ClassVar[str]
    strength: float = MIDDLE

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength={self.strength}: give a number above 0, at most 1")

    def apply(
        self, pixels: Shaped[np.ndarray, "..."], seed: int | np.random.Generator
    ) -> UInt8[np.ndarray, "h w c"]:
        """Returns the image with the artefact.

        A seed gives the same artefact on every machine: draws come from NumPy's Philox generator.

        Args:
            pixels: one image, uint8 [H, W, C], grey (1 channel) or colour (3); it is not changed.
            seed: 0 or above, or a generator to draw from.

        Raises:
            ValueError: the image is empty or not uint8 of 1 or 3 channels; the seed is below 0.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
            raise ValueError(
                f"pixels are {pixels.dtype} {pixels.shape}: give uint8 [height, width, 1 or 3]"
            )
        if not pixels.size:
            raise ValueError(f"pixels have the shape {pixels.shape}: the image is empty")
        if not isinstance(seed, np.random.Generator):
            seed = generator(seed)
        return to_bytes(self.spoil(pixels.astype(np.float64), seed))

    @abc.abstractmethod
    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        """Returns the spoilt image in units of bytes; `apply` rounds and clips it."""


def generator(seed: int, index: int | None = None) -> np.random.Generator:
    """Returns the Philox generator of a seed, or of image `index` of a set with this seed.

    Raises:
        ValueError: the seed is below 0.
    """
    if seed < 0:
        raise ValueError(f"seed={seed}: give 0 or above")
    key = () if index is None else (int(index),)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def to_bytes(values: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """Rounds and clips to bytes.

    Values are first rounded to a millionth, so that the last bits of a machine's arithmetic do not
    decide where a half goes.
    """
    return np.clip(np.rint(np.round(values, 6)), 0, 255).astype(np.uint8)
