"""The images of EXAMINE's study. Each seed has its own split and its own noise."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Float, Int, UInt8
from examine_jax.evaluation.noise_experiment import MIXED_STREAM
from examine_jax.images import GaussianCorruption, corrupt
from examine_jax.labelled.sets import LabelledImages
from examine_jax.labelled.splits import check_split, stratified_split
from examine_jax.studies.examine.settings import ExperimentSettings, NoiseSettings


@dataclasses.dataclass(frozen=True, eq=False)
class ExamineSplit:
    """The row numbers of one seed's four sets, ascending. No row and no group is in two sets.

    Attributes:
        pretraining, assessed, clean: three of the sets.
        valued_on, measured_on: the validation set, which is the fourth: the images that define V,
            and the images that the curves are measured on. Each is the whole set or one half of it.
    """

    pretraining: Int[np.ndarray, " p"]
    assessed: Int[np.ndarray, " a"]
    clean: Int[np.ndarray, " c"]
    valued_on: Int[np.ndarray, " v"]
    measured_on: Int[np.ndarray, " m"]


def divide(images: LabelledImages, settings: ExperimentSettings, seed: int) -> ExamineSplit:
    """The four sets of a seed. Each has all classes, and all images of a group are in one set.

    Raises:
        ValueError: a class has too few images or groups for four sets.
    """
    sizes = dataclasses.astuple(settings.sizes)
    parts = stratified_split(
        images.labels, images.groups, shares=tuple(map(float, sizes)), seed=seed
    )
    generator = np.random.default_rng(seed)
    kept = [
        np.sort(generator.choice(part, min(size, len(part)), replace=False))
        for part, size in zip(parts, sizes)
    ]
    check_split(kept, images.labels, images.groups)
    pretraining, assessed, clean, validation = kept
    if settings.valued_on == "validation":
        return ExamineSplit(pretraining, assessed, clean, validation, validation)
    groups = None if images.groups is None else images.groups[validation]
    halves = stratified_split(images.labels[validation], groups, shares=(1.0, 1.0), seed=seed)
    return ExamineSplit(pretraining, assessed, clean, validation[halves[0]], validation[halves[1]])


def noisy_assessed(
    pixels: UInt8[np.ndarray, "n h w c"], noise: NoiseSettings, seed: int, mean: float
) -> tuple[UInt8[np.ndarray, "n h w c"], Float[np.ndarray, " n"]]:
    """The assessed images with noise, and the noise levels.

    `mean` is the mean of the clean training images.
    """
    noisy, level = corrupt(
        pixels, _corruption(noise, noise.assessed, len(pixels), seed), seed=seed, mean=mean
    )
    return noisy.astype(np.uint8, copy=False), level


def noisy_pretraining(
    pixels: UInt8[np.ndarray, "n h w c"], noise: NoiseSettings, seed: int, mean: float
) -> UInt8[np.ndarray, "n h w c"]:
    """The training set of the second phase: clean and noisy images."""
    stream = seed + MIXED_STREAM
    noisy, _ = corrupt(
        pixels, _corruption(noise, noise.pretraining, len(pixels), stream), seed=stream, mean=mean
    )
    return noisy.astype(np.uint8, copy=False)


def mean_of(pixels: UInt8[np.ndarray, "n h w c"]) -> float:
    """The mean m of all pixels, in [0, 1]. It is a quotient of exact integers."""
    return int(pixels.sum(dtype=np.int64)) / (255 * pixels.size)


def _corruption(noise: NoiseSettings, portion: float, images: int, seed: int) -> GaussianCorruption:
    levels = noise.levels
    if noise.division == "drawn":  # each image draws its own level
        count = max(1, round(portion * images))
        levels = tuple(np.random.default_rng(seed).choice(noise.levels, count).tolist())
    return GaussianCorruption(levels=levels, portion=portion, spread=noise.spread)
