"""Features of the pool and of the held-out images: of a given encoder, a trained one, colours."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, UInt8
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.pretraining import Method, Phase, PretrainSettings, method_preset
from examine_jax.studies.budget.settings import COLOURS, BudgetSettings
from examine_jax.studies.common import kept
from examine_jax.studies.common.controls import colour_features
from examine_jax.studies.common.notes import note
from examine_jax.studies.common.resizing import resized
from examine_jax.studies.common.training_length import trained_once, training_steps, training_watch

GIVEN = "given"
"""The name of an encoder that is given and not trained."""

Embed = Callable[[UInt8[np.ndarray, "n h w c"]], Float[np.ndarray, "n d"]]


def fixed_embedding(name: str, given: Encoder | None) -> Embed:
    """Returns the embedding of what is not trained here: the given encoder, or the control."""
    if name == COLOURS:
        return colour_features
    assert given is not None
    encoder = given
    return lambda pixels: encoder.embed(resized(pixels, encoder.image_size))


def trained_embedding(
    name: str,
    pixels: UInt8[np.ndarray, "p h w c"],
    folder: pathlib.Path,
    workdir: pathlib.Path,
    settings: BudgetSettings,
    seed: int,
    progress: bool,
) -> Embed:
    """Trains a method on a pool, without labels; returns its embedding.

    Args:
        name: of the method.
        pixels: the pool, at the size at which images are read.
        folder: of this training.
        workdir: of the study.
        settings: of the study.
        seed: of the training.
        progress: show it on stderr.

    Raises:
        ValueError, OSError: as `pretraining.pretrain`.
    """

    def compute() -> dict[str, Any]:
        small = resized(pixels, settings.chosen().encoder.image_size)
        method, training = _resolve(name, small, workdir, settings, seed)
        note(
            f"{folder.relative_to(workdir)}: {training.phases[0].steps} steps of "
            f"{training.batch_size} images",
            progress,
        )
        summarise = training_watch()
        _, history = train_and_save(
            method, [small], training, folder, architecture=settings.architecture, progress=progress
        )
        return summarise(history)

    trained_once(folder, compute)
    encoder = functools.cache(lambda: load_encoder(folder / "encoder"))
    return lambda images: encoder().embed(resized(images, encoder().image_size))


def fixed_features(
    name: str,
    given: Encoder | None,
    pixels: UInt8[np.ndarray, "n h w c"],
    workdir: pathlib.Path,
) -> Float[np.ndarray, "n d"]:
    """Returns the features of all clean images, which serve all seeds; kept in one file."""
    embed = fixed_embedding(name, given)
    return kept.arrays(workdir / "clean" / f"{name}.npz", lambda: {"features": embed(pixels)})[
        "features"
    ]


def _resolve(
    name: str,
    pixels: UInt8[np.ndarray, "p h w c"],
    workdir: pathlib.Path,
    settings: BudgetSettings,
    seed: int,
) -> tuple[Method, PretrainSettings]:
    """Returns the method and its training, which has equally many steps for all pools."""
    chosen = settings.chosen()
    method, training = method_preset(name, chosen, preset=settings.preset, num_images=len(pixels))
    batch_size = min(training.batch_size, len(pixels))
    steps = training_steps(
        method,
        training,
        pixels,
        batch_size,
        workdir / "steps" / f"{name}.json",
        steps=settings.steps,
        minutes=settings.minutes,
    )
    method, training = method_preset(name, chosen, preset=settings.preset, steps=steps)
    return method, dataclasses.replace(
        training, phases=(Phase(steps=steps),), batch_size=batch_size, seed=seed
    )
