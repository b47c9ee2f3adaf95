"""The paper's corruption: Gaussian noise with a mean above zero (EXAMINE, section 4.1)."""

import dataclasses
from typing import Literal

import numpy as np

from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, Shaped, UInt8


@dataclasses.dataclass(frozen=True)
class GaussianCorruption:
    """Noise N(delta, delta * m) on pixels in [0, 1], where m is the mean of the data set.

    Each pixel and channel has its own draw.

    Attributes:
        levels: the deltas. The corrupted images are divided among them as evenly as possible. 0
            changes nothing, so `levels=(0.0, 0.1, 0.3, 0.5, 1.0), portion=1.0` makes groups of one
            size, one of them clean.
        portion: the share of corrupted images. The paper's: 400 of 500 assessed images (the
            default), 60,000 of 160,000 in pretraining (0.375).
        spread: whether delta * m is the noise's 'variance', the usual meaning of N(., .), or its
            'standard_deviation'.
        clip: whether to clip the result to [0, 1] and round it to bytes, as an image file would.
            Without it, the result is float32 and exceeds [0, 1].
    """

    levels: tuple[float, ...] = (0.1, 0.3, 0.5, 1.0)
    portion: float = 0.8
    spread: Literal["variance", "standard_deviation"] = setting(
        "variance", "What the second argument of the noise N(d, d*m) is.", open_in_paper=True
    )
    clip: bool = True

    def __post_init__(self) -> None:
        if not self.levels or not all(0 <= level < np.inf for level in self.levels):
            raise ValueError(f"levels={self.levels}: give at least one noise level, none below 0")
        if not 0 <= self.portion <= 1:
            raise ValueError(f"portion={self.portion}: give a fraction of the images, from 0 to 1")
        if self.spread not in ("variance", "standard_deviation"):
            raise ValueError(f"spread={self.spread!r}: give 'variance' or 'standard_deviation'")

    def deviation(self, level: float, mean: float) -> float:
        """The noise's standard deviation at a level, for a data set of this mean."""
        return float(np.sqrt(level * mean)) if self.spread == "variance" else level * mean


def corrupt(
    pixels: UInt8[np.ndarray, "images height width channels"],
    corruption: GaussianCorruption,
    *,
    seed: int,
    mean: float | None = None,
) -> tuple[Shaped[np.ndarray, "images height width channels"], Float[np.ndarray, " images"]]:
    """Adds noise to a random portion of the images. A seed gives the same result on every machine.

    The level of each image depends on the seed and the number of images. The standard normal draws
    of image i depend on (seed, i) alone. They come from NumPy's Philox generator.

    Args:
        pixels: the images; they are not changed.
        corruption: levels, portion and kind of noise.
        seed: 0 or above.
        mean: m, in [0, 1]; None: the mean of `pixels`. Pass the first set's mean to corrupt a
            second set alike.

    Returns:
        The images, uint8 if `corruption.clip`, else float32 in units of [0, 1]; and the float64
        level of each, 0 for unchanged images.

    Raises:
        ValueError: the seed or the mean is out of range.
    """
    if seed < 0:
        raise ValueError(f"seed={seed}: give 0 or above")
    if mean is None:
        # Sums of bytes are exact, so the mean does not depend on the order of summation.
        mean = int(pixels.sum(dtype=np.int64)) / (255 * pixels.size) if pixels.size else 0.0
    if not 0 <= mean <= 1:
        raise ValueError(f"mean={mean}: give the mean of the data set with pixels in [0, 1]")
    images = len(pixels)
    level = np.zeros(images)
    chosen = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))).permutation(images)
    chosen = chosen[: round(corruption.portion * images)]
    level[chosen] = np.resize(corruption.levels, len(chosen))

    corrupted = pixels.copy() if corruption.clip else pixels / np.float32(255)
    # One image at a time: all noise at once would take 4 to 8 times the images' memory.
    for index in np.flatnonzero(level):
        draws = np.random.Generator(
            np.random.Philox(np.random.SeedSequence(seed, spawn_key=(int(index),)))
        )
        noise = draws.standard_normal(pixels.shape[1:], dtype=np.float32)
        noise *= np.float32(corruption.deviation(float(level[index]), mean))
        noise += np.float32(level[index])
        noise += pixels[index] / np.float32(255)
        corrupted[index] = (
            np.rint(255 * np.clip(noise, 0, 1)).astype(np.uint8) if corruption.clip else noise
        )
    return corrupted, level
