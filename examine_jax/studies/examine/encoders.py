"""The experiments' encoders: trained for as long as was asked, on clean images and then on the mixed set."""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from examine_jax.common.shapes import Float, UInt8
from examine_jax.common.subset import subset_indices
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.control_features import colour_statistics
from examine_jax.features.preprocessing import FeatureStatistics, Preprocessing, preprocess
from examine_jax.pretraining import Method, Phase, PretrainSettings, method_preset
from examine_jax.studies.common.training_length import trained_once, training_steps, training_watch
from examine_jax.studies.examine.sets import mean_of, noisy_pretraining
from examine_jax.studies.examine.settings import ExperimentSettings, TrainingPlan

Pixels = UInt8[np.ndarray, "n h w c"]
Embed = Callable[[Pixels], Float[np.ndarray, "n d"]]
_REFERENCE_IMAGES = 2000


def embedder(encoder: Encoder, kind: Preprocessing) -> Embed:
    """Images to features as they are examined; z-scores are against the features of the clean training images."""
    reference = None
    if kind == "zscore":
        mean, deviation = (np.array(encoder.training[key], np.float64) for key in ("feature_mean", "feature_deviation"))
        reference = FeatureStatistics(mean, deviation)
    return lambda pixels: preprocess(encoder.embed(pixels), kind, reference)


def controls(plan: TrainingPlan, clean: Pixels, kind: Preprocessing, seed: int) -> dict[str, Embed]:
    """What a trained encoder has to beat: the main encoder untrained, and colours alone."""
    method, _ = method_preset(plan.methods[0], plan.chosen(), preset=plan.presets[0])
    example = {"image": clean[:2], "index": np.arange(2, dtype=np.int32)}
    untrained = Encoder(method, *method.init(jax.random.key(seed), example))
    some = clean[subset_indices(len(clean), _REFERENCE_IMAGES, seed)]

    def scaled(make: Embed) -> Embed:
        reference = FeatureStatistics.of(make(some)) if kind == "zscore" else None
        return lambda pixels: preprocess(make(pixels), kind, reference)

    return {f"untrained {plan.methods[0]}": scaled(untrained.embed), "colour statistics": scaled(colour_statistics)}


def train(
    name: str, pixels: Pixels, workdir: pathlib.Path, settings: ExperimentSettings, seed: int, progress: bool
) -> Encoder:
    """The encoder in workdir/seed_S/NAME; trained where it is not there yet, or not to its end.

    Args:
        pixels: the clean training images.
        workdir: of all seeds, in whose folder `steps` it is written how long the method is trained.

    Raises:
        ValueError, OSError: as `pretraining.pretrain`.
    """
    folder = workdir / f"seed_{seed}" / name
    trained_once(folder, lambda: _train(folder, name, pixels, workdir, settings, seed, progress))
    return load_encoder(folder / "encoder")


def _train(
    folder: pathlib.Path,
    name: str,
    pixels: Pixels,
    workdir: pathlib.Path,
    settings: ExperimentSettings,
    seed: int,
    progress: bool,
) -> dict[str, float]:
    """Leaves the encoder in `folder`; what there is to tell of its training."""
    method, training = resolve(name, pixels, workdir, settings, seed, progress)
    sets = [pixels]
    if len(training.phases) > 1:
        sets.append(noisy_pretraining(pixels, settings.noise, seed, mean_of(pixels)))
    told = training_watch()
    _, history = train_and_save(
        method, sets, training, folder, architecture=settings.training.architecture, progress=progress
    )
    return told(history)


def resolve(
    name: str, pixels: Pixels, workdir: pathlib.Path, settings: ExperimentSettings, seed: int, progress: bool
) -> tuple[Method, PretrainSettings]:
    """The method and its training; the steps that minutes pay for are measured once, for all seeds."""
    plan = settings.training
    preset, chosen = plan.presets[plan.methods.index(name)], plan.chosen()
    method, training = method_preset(name, chosen, preset=preset, num_images=len(pixels))
    batch_size = min(plan.batch_size or training.batch_size, len(pixels))
    steps = training_steps(
        method,
        training,
        pixels,
        batch_size,
        workdir / "steps" / f"{name}.json",
        steps=plan.steps,
        minutes=plan.minutes,
    )
    method, training = method_preset(name, chosen, preset=preset, steps=steps)
    phases: tuple[Phase, ...] = (Phase(steps=steps),)
    if settings.noise.training == "clean_then_mixed":
        first = min(max(1, round(steps * settings.noise.clean_share)), max(1, steps - 1))
        phases = (Phase(steps=first), Phase(steps=max(1, steps - first)))
    if progress:
        print(f"seed {seed}: {name}, {steps} steps of {batch_size} images", file=sys.stderr)
    return method, dataclasses.replace(training, phases=phases, batch_size=batch_size, seed=seed)


def training_record(workdir: pathlib.Path, seed: int, name: str) -> dict[str, Any]:
    """What `train` told of a training that is done."""
    there: dict[str, Any] = json.loads((workdir / f"seed_{seed}" / name / "training.json").read_text())
    return there
