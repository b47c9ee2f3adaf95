"""The study's encoders, one for each set, seed, method and batch size."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.encoders import Encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.labelled.sets import LabelledImages
from examine_jax.pretraining import Method, Phase, PretrainSettings, method_preset
from examine_jax.studies.common.notes import note
from examine_jax.studies.common.training_length import (
    seconds_a_step,
    training_steps,
    training_watch,
)
from examine_jax.studies.low_resource.settings import LowResourceSettings
from examine_jax.training.non_finite import NonFiniteLossError

_WORTH_TIMING = 1000  # steps


def trainings(set_name: str, settings: LowResourceSettings) -> list[tuple[str, int]]:
    """Returns (method, batch size) of each of a seed's trainings on a set, in order."""
    return [(method, size) for method in settings.methods for size in settings.batches_on(set_name)]


def folder_of(
    workdir: pathlib.Path, set_name: str, seed: int, method: str, batch_size: int
) -> pathlib.Path:
    """Returns the folder of one training."""
    return workdir / set_name / f"seed_{seed}" / f"{method}_{batch_size}"


def untrained(settings: LowResourceSettings, seed: int) -> Encoder:
    """Returns the control: the network at its initialisation.

    It is always that of "dcl": the control's figures are kept when other methods are added.
    """
    method, _ = method_preset("dcl", settings.chosen(), preset=settings.preset)
    shape = settings.chosen().encoder
    pixels = np.zeros((2, shape.image_size, shape.image_size, shape.channels), np.uint8)
    return untrained_encoder(method, pixels, seed)


def train(
    folder: pathlib.Path,
    name: str,
    batch_size: int,
    pixels: np.ndarray,
    workdir: pathlib.Path,
    settings: LowResourceSettings,
    seed: int,
    progress: bool,
) -> dict[str, Any]:
    """Trains one encoder, which stays in `folder`; a training that was killed continues.

    Args:
        folder: of this training.
        name: of the method.
        batch_size: of the training.
        pixels: the training images.
        workdir: of the study.
        settings: of the study.
        seed: of the training.
        progress: show it on stderr.

    Returns:
        The training's record, or "diverged" with the reason.
    """
    method, training = resolve(name, batch_size, pixels, workdir, settings, seed)
    note(
        f"{folder.relative_to(workdir)}: {training.phases[0].steps} steps of {batch_size} images",
        progress,
    )
    summarise = training_watch()
    try:
        _, history = train_and_save(
            method,
            [pixels],
            training,
            folder,
            architecture=settings.architecture,
            progress=progress,
        )
    except NonFiniteLossError as error:  # the same training would diverge again
        return {"diverged": str(error)}
    return summarise(history)


def expected_seconds(
    sets: Mapping[str, LabelledImages],
    workdir: str | os.PathLike[str],
    settings: LowResourceSettings,
) -> tuple[int, float | None]:
    """Estimates how long the missing trainings take, without embedding and probes.

    It is CPU time on a CPU, wall time elsewhere.

    If steps are given instead of minutes, one step of the first method is timed at the smallest
    batch; its time is assumed to be proportional to the batch.

    Returns:
        How many trainings are missing, and their seconds; None if there are so few steps that
        timing would take longer.
    """
    home = pathlib.Path(workdir)
    left = [
        (name, size)
        for name in sets
        for seed in settings.seeds
        for method, size in trainings(name, settings)
        if not (folder_of(home, name, seed, method, size) / "training.json").exists()
    ]
    if settings.minutes is not None:
        return len(left), 60 * settings.minutes * len(left)
    images = 0
    for name, size in left:
        steps = settings.steps
        if steps is None:
            _, training = method_preset(
                settings.methods[0], settings.chosen(), preset=settings.preset
            )
            share = settings.shares[0] / sum(settings.shares)
            steps = training.phases[0].count(max(1, round(share * len(sets[name].names)) // size))
        images += steps * size
    smallest = settings.batch_sizes[0]
    if images < _WORTH_TIMING * smallest:
        return len(left), None
    method, _ = method_preset(settings.methods[0], settings.chosen(), preset=settings.preset)
    pixels = next(iter(sets.values())).pixels
    return len(left), images / smallest * seconds_a_step(method, pixels, smallest)


def resolve(
    name: str,
    batch_size: int,
    pixels: np.ndarray,
    workdir: pathlib.Path,
    settings: LowResourceSettings,
    seed: int,
) -> tuple[Method, PretrainSettings]:
    """Returns the method and its training, which has equally many steps for all seeds and sets."""
    chosen = settings.chosen()
    method, training = method_preset(name, chosen, preset=settings.preset)
    steps = training_steps(
        method,
        training,
        pixels,
        batch_size,
        workdir / "steps" / f"{name}_{batch_size}.json",
        steps=settings.steps,
        minutes=settings.minutes,
    )
    method, training = method_preset(name, chosen, preset=settings.preset, steps=steps)
    return method, dataclasses.replace(
        training, phases=(Phase(steps=steps),), batch_size=batch_size, seed=seed
    )
