"""Defocus and motion blur."""

import dataclasses
from typing import ClassVar

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.artefacts.artefact import Artefact


@dataclasses.dataclass(frozen=True)
class DefocusBlur(Artefact):
    """The image is out of focus: a point becomes a disc.

    Strength is the disc's radius: 4% of the shorter side at 1, in proportion below.

    Source: Hendrycks and Dietterich, Benchmarking neural network robustness to common corruptions
    and perturbations, ICLR 2019 (disc kernel); HistoQC (Janowczyk et al., JCO Clinical Cancer
    Informatics 2019) on why slides are out of focus.
    """

    name: ClassVar[str] = "defocus"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        radius = 0.04 * self.strength * min(pixels.shape[:2]) * draws.uniform(0.9, 1.1)
        return convolve(pixels, disc(radius))


@dataclasses.dataclass(frozen=True)
class MotionBlur(Artefact):
    """The stage, the hand or the patient moves during the exposure: a point becomes a line.

    Strength is the line's length: 14% of the shorter side at 1, in proportion below. The direction
    is drawn.

    Source: Hendrycks and Dietterich, ICLR 2019.
    """

    name: ClassVar[str] = "motion"

    def spoil(
        self, pixels: Float[np.ndarray, "h w c"], draws: np.random.Generator
    ) -> Float[np.ndarray, "h w c"]:
        length = 0.14 * self.strength * min(pixels.shape[:2])
        return convolve(pixels, line(length, draws.uniform(0, np.pi)))


def disc(radius: float) -> Float[np.ndarray, "k k"]:
    """Returns a disc's kernel; pixels on its edge count by their share."""
    reach = int(np.ceil(radius))
    at = np.arange(-reach, reach + 1)
    kernel = np.clip(radius + 0.5 - np.hypot(at[:, None], at[None]), 0, 1)
    return kernel / kernel.sum()


def line(length: float, angle: float) -> Float[np.ndarray, "k k"]:
    """Returns the kernel of a line about one pixel wide through the centre."""
    reach = int(np.ceil(length / 2))
    y, x = np.arange(-reach, reach + 1)[:, None], np.arange(-reach, reach + 1)[None]
    along = y * np.sin(angle) + x * np.cos(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    kernel = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return kernel / kernel.sum()


def convolve(
    pixels: Float[np.ndarray, "h w c"], kernel: Float[np.ndarray, "k k"]
) -> Float[np.ndarray, "h w c"]:
    """Returns the image convolved with a kernel; beyond its border it is mirrored."""
    from scipy.signal import fftconvolve

    reach = len(kernel) // 2
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    return fftconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1))
