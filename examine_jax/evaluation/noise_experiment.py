"""EXAMINE's noise experiment (sections 4.1, 4.2): how well the gap separates known noise levels."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Shaped, UInt8
from examine_jax.common.subset import subset_indices
from examine_jax.encoders import Encoder
from examine_jax.evaluation.control_features import channel_means, raw_pixels
from examine_jax.evaluation.noise_separation import NoiseSeparation, noise_separation
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.features.preprocessing import FeatureStatistics, Preprocessing, preprocess
from examine_jax.images import GaussianCorruption, corrupt
from examine_jax.pretraining import Phase
from examine_jax.scoring import Examination, examine

LEVELS = (0.1, 0.3, 0.5, 1.0)
"""The paper's noise levels (delta)."""
ASSESSED_NOISE = 0.8
"""The share of the assessed images that the paper corrupts: 400 of 500."""
MIXED_NOISE = 0.375
"""The share of the training images that the paper corrupts: 60,000 of 160,000."""
CLEAN_SHARE = 2 / 3
"""The share of the training on clean images, before the mixed set; the paper does not state it."""
MIXED_STREAM = 1_000_003
"""A number that is added to the seed of the training images' noise.

So the noise of the assessed images is new to the encoder.
"""

_REFERENCE_IMAGES = 2000  # training images whose features define the z-scores


def mixed_training_set(
    clean: UInt8[np.ndarray, "n h w c"], noise: GaussianCorruption, mean: float, seed: int
) -> UInt8[np.ndarray, "n h w c"]:
    """Returns the paper's second training set: a part of the clean images is corrupted.

    Args:
        clean: the training images.
        noise: its levels above 0 are used; `MIXED_NOISE` replaces its portion.
        mean: m, of the training images in [0, 1].
        seed: of the assessed images' noise; this noise comes from another stream.
    """
    levels = tuple(level for level in noise.levels if level > 0)
    mixed_noise = dataclasses.replace(noise, levels=levels, portion=MIXED_NOISE)
    mixed, _ = corrupt(clean, mixed_noise, seed=seed + MIXED_STREAM, mean=mean)
    return clip_to_bytes(mixed)


def clean_then_mixed(phase: Phase, clean_share: float = CLEAN_SHARE) -> tuple[Phase, Phase]:
    """Splits a training phase into one on clean images and one on the mixed set."""
    if phase.steps is not None:
        first = min(max(1, round(phase.steps * clean_share)), max(1, phase.steps - 1))
        return Phase(steps=first), Phase(steps=max(1, phase.steps - first))
    epochs = phase.epochs or 1.0
    return Phase(epochs=epochs * clean_share), Phase(epochs=epochs * (1 - clean_share))


def clip_to_bytes(images: Shaped[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "n h w c"]:
    """Returns images as bytes; floats are clipped to [0, 1] and rounded."""
    if images.dtype == np.uint8:
        return images
    return np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)


def separations_with_controls(
    encoder: Encoder,
    training: UInt8[np.ndarray, "t h w c"],
    pixels: UInt8[np.ndarray, "n h w c"],
    level: Float[np.ndarray, " n"],
    examination: Examination,
    preprocessing: Preprocessing,
    *,
    solver: Any,
    center: bool,
    seed: int,
) -> dict[str, NoiseSeparation]:
    """Returns the noise separation of the encoder's features, and of features without training.

    Args:
        encoder: trained.
        training: clean training images; a part of them defines the controls' z-scores.
        pixels: the assessed images with their noise.
        level: of each assessed image.
        examination: of the encoder's features.
        preprocessing: of all features before they are examined.
        solver, center: as `examine`'s.
        seed: of the untrained encoder and of the reference images.
    """

    def gap(features: np.ndarray) -> np.ndarray:
        return np.asarray(examine(features, solver=solver, center=center).gap)

    reference = training[subset_indices(len(training), _REFERENCE_IMAGES, seed)]
    controls: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "untrained encoder": untrained_encoder(encoder.method, pixels[:1], seed).embed,
        "raw pixels": raw_pixels,
        "channel means": channel_means,
    }
    separations = {"trained encoder": noise_separation(np.asarray(examination.gap), level)}
    for name, embed in controls.items():
        zscore = preprocessing == "zscore"
        statistics = FeatureStatistics.of(embed(reference)) if zscore else None
        features = preprocess(embed(pixels), preprocessing, statistics)
        separations[name] = noise_separation(gap(features), level)
    if preprocessing != "none":
        separations["raw pixels, nothing done"] = noise_separation(gap(raw_pixels(pixels)), level)
    return separations
