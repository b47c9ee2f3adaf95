"""The experiments' encoders: trained for as long as was asked, on clean images and then on the mixed set."""

import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from examine_jax._shapes import Float, UInt8
from examine_jax.encoder_training import some_of, train_and_save
from examine_jax.evaluation.control_features import colour_statistics
from examine_jax.experiments.sets import mean_of, noisy_pretraining
from examine_jax.experiments.settings import ExperimentSettings, TrainingPlan
from examine_jax.experiments.stages import record
from examine_jax.preprocessing import FeatureStatistics, Preprocessing, preprocess
from examine_jax.pretraining import Encoder, Method, Phase, PretrainSettings, load_encoder, method_preset

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
    some = clean[some_of(len(clean), _REFERENCE_IMAGES, seed)]

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
    if (folder / "training.json").exists():
        return load_encoder(folder / "encoder")
    method, training = resolve(name, pixels, workdir, settings, seed, progress)
    sets = [pixels]
    if len(training.phases) > 1:
        sets.append(noisy_pretraining(pixels, settings.noise, seed, mean_of(pixels)))
    begin, computing = time.perf_counter(), time.process_time()
    encoder, history = train_and_save(
        method, sets, training, folder, architecture=settings.training.architecture, progress=progress
    )

    def told() -> dict[str, float]:
        return {
            "steps": float(len(history)),
            "final_loss": float(history[-1]["loss"]),
            # Of the last start, where a run was killed.
            "seconds": time.perf_counter() - begin,
            "cpu_seconds": time.process_time() - computing,
        }

    record(folder / "training.json", told)
    return encoder


def resolve(
    name: str, pixels: Pixels, workdir: pathlib.Path, settings: ExperimentSettings, seed: int, progress: bool
) -> tuple[Method, PretrainSettings]:
    """The method and its training; the steps that minutes pay for are measured once, for all seeds."""
    plan = settings.training
    preset, chosen = plan.presets[plan.methods.index(name)], plan.chosen()
    method, training = method_preset(name, chosen, preset=preset, num_images=len(pixels))
    batch_size = min(plan.batch_size or training.batch_size, len(pixels))
    if plan.steps is not None:
        steps = plan.steps
    elif plan.minutes is not None:
        minutes = plan.minutes

        def measured() -> dict[str, float]:
            cost = seconds_a_step(method, pixels, batch_size)
            return {"seconds_a_step": cost, "steps": float(max(2, round(60 * minutes / cost)))}

        steps = int(record(workdir / "steps" / f"{name}.json", measured)["steps"])
    else:
        steps = training.phases[0].count(max(1, len(pixels) // batch_size))
    method, training = method_preset(name, chosen, preset=preset, steps=steps)
    phases: tuple[Phase, ...] = (Phase(steps=steps),)
    if settings.noise.training == "clean_then_mixed":
        first = min(max(1, round(steps * settings.noise.clean_share)), max(1, steps - 1))
        phases = (Phase(steps=first), Phase(steps=max(1, steps - first)))
    if progress:
        print(f"seed {seed}: {name}, {steps} steps of {batch_size} images", file=sys.stderr)
    return method, dataclasses.replace(training, phases=phases, batch_size=batch_size, seed=seed)


def seconds_a_step(method: Method, pixels: Pixels, batch_size: int) -> float:
    """Of the loss and its gradients, which are nearly all of a step: the CPU's time on a CPU, the clock's elsewhere."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    batch = {"image": pixels[:batch_size], "index": np.arange(batch_size, dtype=np.int32)}
    params, state = method.init(jax.random.key(0), batch)
    step = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    jax.block_until_ready(step(params, state, batch, jax.random.key(1)))
    begin = clock()
    for _ in range(4):
        jax.block_until_ready(step(params, state, batch, jax.random.key(1)))
    return max((clock() - begin) / 4, 1e-6)


def training_record(workdir: pathlib.Path, seed: int, name: str) -> dict[str, float]:
    """What `train` told of a training that is done."""
    there: dict[str, float] = json.loads((workdir / f"seed_{seed}" / name / "training.json").read_text())
    return there
