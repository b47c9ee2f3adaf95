"""The paper's proof of concept (section 4.1): images with known amounts of noise, and how well the gap tells them apart."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from examine_jax.common.shapes import Float, UInt8
from examine_jax.common.subset import subset_indices
from examine_jax.encoders import Encoder
from examine_jax.evaluation.control_features import channel_means, raw_pixels
from examine_jax.evaluation.noise_separation import NoiseSeparation, noise_separation
from examine_jax.features.preprocessing import FeatureStatistics, Preprocessing, preprocess
from examine_jax.images import GaussianCorruption, corrupt
from examine_jax.pretraining import Phase
from examine_jax.scoring import Examination, examine

_REFERENCE_IMAGES = 2000  # training images whose features the z-scores refer to
_MIXED_NOISE = 0.375  # the paper corrupts 60,000 of its 160,000 training images
_CLEAN_STEPS = 2 / 3  # of the training, before the mixed set; the paper does not say


@runtime_checkable
class Scoring(Protocol):
    """How features are scored."""

    @property
    def solver(self) -> Any: ...
    @property
    def center(self) -> bool: ...
    @property
    def seed(self) -> int: ...


def mixed_training_set(
    clean: UInt8[np.ndarray, "n h w c"], noise: GaussianCorruption, mean: float, seed: int
) -> UInt8[np.ndarray, "n h w c"]:
    """The paper's second training set: the clean images, a part of them corrupted at every level but 0.

    The assessed images' noise must be new to the encoder, so this comes from another stream of the seed.
    """
    levels = tuple(level for level in noise.levels if level > 0)
    mixed, _ = corrupt(
        clean, dataclasses.replace(noise, levels=levels, portion=_MIXED_NOISE), seed=seed + 1_000_003, mean=mean
    )
    return as_bytes(mixed)


def in_two(phase: Phase) -> tuple[Phase, Phase]:
    """The clean phase and the mixed one."""
    if phase.steps is not None:
        first = max(1, round(phase.steps * _CLEAN_STEPS))
        return Phase(steps=first), Phase(steps=max(1, phase.steps - first))
    epochs = phase.epochs or 1.0
    return Phase(epochs=epochs * _CLEAN_STEPS), Phase(epochs=epochs * (1 - _CLEAN_STEPS))


def as_bytes(images: np.ndarray) -> UInt8[np.ndarray, "n h w c"]:
    """Noise that was not clipped leaves the range of an image file; the encoder takes bytes, so it is clipped here."""
    return images if images.dtype == np.uint8 else np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)


def separations_with_controls(
    encoder: Encoder,
    training: UInt8[np.ndarray, "t h w c"],
    pixels: UInt8[np.ndarray, "n h w c"],
    level: Float[np.ndarray, " n"],
    examination: Examination,
    kind: Preprocessing,
    settings: Scoring,
) -> dict[str, NoiseSeparation]:
    """Of the encoder's features, and of what needs no training, treated the same way."""
    reference = training[subset_indices(len(training), _REFERENCE_IMAGES, settings.seed)]
    example = {"image": pixels[:1], "index": np.arange(1)}
    untrained = Encoder(encoder.method, *encoder.method.init(jax.random.key(settings.seed), example))
    makers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "untrained encoder": untrained.embed,
        "raw pixels": raw_pixels,
        "channel means": channel_means,
    }
    found = {"trained encoder": noise_separation(np.asarray(examination.gap), level)}
    for name, make in makers.items():
        features = make(pixels)
        statistics = FeatureStatistics.of(make(reference)) if kind == "zscore" else None
        found[name] = noise_separation(
            np.asarray(_examined(preprocess(features, kind, statistics), settings).gap), level
        )
    if kind != "none":
        found["raw pixels, nothing done"] = noise_separation(
            np.asarray(_examined(raw_pixels(pixels), settings).gap), level
        )
    return found


def _examined(features: np.ndarray, settings: Scoring) -> Examination:
    return jax.tree.map(np.asarray, examine(features, solver=settings.solver, center=settings.center))
