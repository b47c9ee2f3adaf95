"""The encoders of EXAMINE's study, trained on clean, then on mixed images; and the controls."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from examine_jax.common.shapes import Float, UInt8
from examine_jax.common.subset import subset_indices
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.control_features import colour_statistics
from examine_jax.evaluation.noise_experiment import clean_then_mixed
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.features.preprocessing import FeatureStatistics, Preprocessing, preprocess
from examine_jax.pretraining import Method, Phase, PretrainSettings, method_preset
from examine_jax.studies.common.notes import note
from examine_jax.studies.common.training_length import trained_once, training_steps, training_watch
from examine_jax.studies.examine.sets import mean_of, noisy_pretraining
from examine_jax.studies.examine.settings import ExperimentSettings, TrainingPlan

Pixels = UInt8[np.ndarray, "n h w c"]
Embed = Callable[[Pixels], Float[np.ndarray, "n d"]]
_REFERENCE_IMAGES = 2000  # clean training images that define the z-scores of the controls


def embedder(encoder: Encoder, kind: Preprocessing) -> Embed:
    """Returns the function from images to preprocessed features.

    Z-scores use the mean and the standard deviation over the clean training images.
    """
    reference = None
    if kind == "zscore":
        names = ("feature_mean", "feature_deviation")
        mean, deviation = (np.array(encoder.training[name], np.float64) for name in names)
        reference = FeatureStatistics(mean, deviation)
    return lambda pixels: preprocess(encoder.embed(pixels), kind, reference)


def controls(plan: TrainingPlan, clean: Pixels, kind: Preprocessing, seed: int) -> dict[str, Embed]:
    """Returns the controls: the main encoder without training, and the colour statistics."""
    method, _ = method_preset(plan.methods[0], plan.chosen(), preset=plan.presets[0])
    untrained = untrained_encoder(method, clean[:2], seed)
    some = clean[subset_indices(len(clean), _REFERENCE_IMAGES, seed)]

    def scaled(embed: Embed) -> Embed:
        reference = FeatureStatistics.of(embed(some)) if kind == "zscore" else None
        return lambda pixels: preprocess(embed(pixels), kind, reference)

    return {
        f"untrained {plan.methods[0]}": scaled(untrained.embed),
        "colour statistics": scaled(colour_statistics),
    }


def train(
    name: str,
    pixels: Pixels,
    workdir: pathlib.Path,
    settings: ExperimentSettings,
    seed: int,
    progress: bool,
) -> Encoder:
    """Returns the encoder in workdir/seed_SEED/NAME. Trains it first, or continues its training.

    Args:
        name: the name of the method.
        pixels: the clean training images.
        workdir: the folder of the study.
        settings: the settings of the study.
        seed: the seed of the training and of its noise.
        progress: shows the progress on stderr.

    Raises:
        ValueError, OSError: as for `pretraining.pretrain`.
    """
    folder = workdir / f"seed_{seed}" / name

    def compute() -> dict[str, float]:
        method, training = resolve(name, pixels, workdir, settings, seed)
        steps = sum(phase.steps or 0 for phase in training.phases)
        note(f"seed {seed}: {name}, {steps} steps of {training.batch_size} images", progress)
        sets = [pixels]
        if len(training.phases) > 1:
            sets.append(noisy_pretraining(pixels, settings.noise, seed, mean_of(pixels)))
        summarise = training_watch()
        architecture = settings.training.architecture
        _, history = train_and_save(
            method, sets, training, folder, architecture=architecture, progress=progress
        )
        return summarise(history)

    trained_once(folder, compute)
    return load_encoder(folder / "encoder")


def resolve(
    name: str, pixels: Pixels, workdir: pathlib.Path, settings: ExperimentSettings, seed: int
) -> tuple[Method, PretrainSettings]:
    """Returns the method and its training settings. All seeds have the same number of steps."""
    plan = settings.training
    preset, chosen = plan.presets[plan.methods.index(name)], plan.chosen()
    method, training = method_preset(name, chosen, preset=preset, num_images=len(pixels))
    batch_size = min(plan.batch_size or training.batch_size, len(pixels))
    file = workdir / "steps" / f"{name}.json"
    steps = training_steps(
        method, training, pixels, batch_size, file, steps=plan.steps, minutes=plan.minutes
    )
    method, training = method_preset(name, chosen, preset=preset, steps=steps)
    phases: tuple[Phase, ...] = (Phase(steps=steps),)
    if settings.noise.training == "clean_then_mixed":
        phases = clean_then_mixed(phases[0], settings.noise.clean_share)
    return method, dataclasses.replace(training, phases=phases, batch_size=batch_size, seed=seed)
