"""The encoders that are compared: given ones, those trained here, and untrained networks."""

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.configuration import to_plain
from examine_jax.common.shapes import UInt8
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.encoders.base import Base, load_base, method_from
from examine_jax.encoders.train import adapted_method, train_and_save
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.pretraining import Method, Phase, PretrainSettings, method_preset
from examine_jax.studies.common.notes import note
from examine_jax.studies.common.training_length import trained_once, training_steps, training_watch
from examine_jax.studies.transfer.results import COLOURS, RANDOM, SELF, SOURCE
from examine_jax.studies.transfer.settings import TransferSettings
from examine_jax.training.non_finite import NonFiniteLossError


class DivergedTrainingError(ValueError):
    """The loss of a training without labels became NaN or infinite."""


@dataclasses.dataclass(frozen=True, eq=False)
class GivenEncoder:
    """An encoder from elsewhere.

    Attributes:
        name: in tables and of its folders.
        base: the encoder, from which an adaptation goes on.
    """

    name: str
    base: Base

    @property
    def encoder(self) -> Encoder:
        """The encoder as it came."""
        return self.base.encoder

    def described(self) -> dict[str, Any]:
        """Returns all that its features depend on, as plain values.

        The weights are a digest. The rest is in words, so that a difference can be named: the
        network's configuration and the scale of its pixels, and how it crops images.
        """
        leaves = jax.tree.leaves((self.encoder.params, self.encoder.state))
        return {
            "weights": digest_arrays(map(np.asarray, leaves)),
            "method": to_plain(self.encoder.method),
            "framing": to_plain(self.encoder.framing),
        }


def read_encoders(texts: Sequence[str], settings: TransferSettings) -> tuple[GivenEncoder, ...]:
    """Reads encoders, each given as FOLDER or NAME=FOLDER.

    The name of a FOLDER is its last part, or the one before if that is "encoder".

    Raises:
        ValueError: a name is none, is another encoder's or is the study's own; an encoder cannot be
            read, takes other channels than the network from scratch, or cannot be adapted so.
    """
    found: dict[str, GivenEncoder] = {}
    channels = settings.chosen().encoder.channels
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or os.path.exists(text):
            path = pathlib.Path(text)
            named = path.absolute()
            name = (named.parent if named.name == "encoder" else named).name
        else:
            path = pathlib.Path(folder)
        if not re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
            raise ValueError(
                f"{text!r}: {name!r} is no name for an encoder: give NAME=FOLDER, NAME of "
                "letters, digits, -, _ and ."
            )
        if name in found or name in (SELF, RANDOM, COLOURS, SOURCE):
            raise ValueError(
                f"two encoders are named {name!r}: tell them apart by NAME=FOLDER"
                if name in found
                else f"an encoder is named {name!r}, as one of the study's own: give NAME=FOLDER"
            )
        base = load_base(path, image_size=settings.encoder_size)
        encoder = base.encoder
        if encoder.channels != channels:
            raise ValueError(
                f"the encoder {path} takes {encoder.channels} channels, and the network from "
                f"scratch {channels}: the study reads all images with the same channels; leave the "
                "encoder out"
            )
        if {"adapted", "adapted_fine_tuned"} & set(settings.uses):  # refuses what does not fit
            method, _ = method_from(base, settings.method, preset=settings.preset)
            if (low_rank := settings.low_rank()) is not None:
                adapted_method(method, low_rank, base)
        found[name] = GivenEncoder(name, base)
    return tuple(found.values())


def untrained(settings: TransferSettings, seed: int) -> Encoder:
    """Returns the network from scratch at its initialisation."""
    method, _ = method_preset(settings.method, settings.chosen(), preset=settings.preset)
    return _initialised(method, seed)


def untrained_like(encoder: Encoder, seed: int) -> Encoder:
    """Returns an encoder's network at its initialisation."""
    return _initialised(encoder.method, seed)


def _initialised(method: Method, seed: int) -> Encoder:
    shape = method.encoder
    pixels = np.zeros((2, shape.image_size, shape.image_size, shape.channels), np.uint8)
    return untrained_encoder(method, pixels, seed)


def same_network(encoder: Encoder, settings: TransferSettings) -> bool:
    """Whether an encoder is the network from scratch, with the same scale of the pixels."""
    method: Any = method_preset(settings.method, settings.chosen(), preset=settings.preset)[0]
    other: Any = encoder.method
    return bool((method.encoder, method.pixels) == (other.encoder, other.pixels))


def trained_from_scratch(
    folder: pathlib.Path,
    pixels: UInt8[np.ndarray, "n h w c"],
    workdir: pathlib.Path,
    settings: TransferSettings,
    seed: int,
    *,
    factor: float = 1.0,
    progress: bool = True,
) -> Callable[[], Encoder]:
    """Trains the network from scratch without labels; returns a function that reads it.

    A training that was killed continues; one that is done is not done again.

    Args:
        folder: of the training.
        pixels: the training images, at the network's size.
        workdir: of the study.
        settings: of the study.
        seed: of the training.
        factor: the training is this many times as long as the settings say.
        progress: show it on stderr.

    Raises:
        DivergedTrainingError: its loss is not finite.
        ValueError, OSError: as `pretraining.pretrain`.
    """
    preset = functools.partial(
        method_preset, settings.method, settings.chosen(), preset=settings.preset
    )
    save = functools.partial(train_and_save, architecture=settings.architecture)
    return _trained(
        *(folder, pixels, workdir, settings, seed, preset, save, "scratch", factor, progress)
    )


def adapted(
    folder: pathlib.Path,
    given: GivenEncoder,
    pixels: UInt8[np.ndarray, "n h w c"],
    workdir: pathlib.Path,
    settings: TransferSettings,
    seed: int,
    *,
    progress: bool = True,
) -> Callable[[], Encoder]:
    """Trains an encoder from elsewhere further, without labels; else as `trained_from_scratch`."""

    def preset(steps: int | None = None) -> tuple[Method, PretrainSettings]:
        method, training = method_from(
            given.base, settings.method, preset=settings.preset, steps=steps
        )
        return method, dataclasses.replace(training, layer_decay=settings.layer_decay)

    save = functools.partial(
        train_and_save,
        architecture=given.base.name,
        base=given.base,
        low_rank=settings.low_rank(),
    )
    return _trained(
        *(
            folder,
            pixels,
            workdir,
            settings,
            seed,
            preset,
            save,
            f"adapted_{given.name}",
            1.0,
            progress,
        )
    )


def _trained(
    folder: pathlib.Path,
    pixels: UInt8[np.ndarray, "n h w c"],
    workdir: pathlib.Path,
    settings: TransferSettings,
    seed: int,
    preset: Callable[..., tuple[Method, PretrainSettings]],
    save: Callable[..., tuple[Encoder, Any]],
    timed_as: str,
    factor: float,
    progress: bool,
) -> Callable[[], Encoder]:
    def compute() -> dict[str, Any]:
        method, training = preset()
        batch_size = min(settings.batch_size or training.batch_size, len(pixels))
        steps = training_steps(
            method,
            training,
            pixels,
            batch_size,
            workdir / "steps" / f"{timed_as}.json",
            steps=settings.steps,
            minutes=settings.minutes,
        )
        steps = max(1, round(factor * steps))
        method, training = preset(steps=steps)
        training = dataclasses.replace(
            training, phases=(Phase(steps=steps),), batch_size=batch_size, seed=seed
        )
        note(f"{folder.relative_to(workdir)}: {steps} steps of {batch_size} images", progress)
        summarise = training_watch()
        try:
            _, history = save(method, [pixels], training, folder, progress=progress)
        except NonFiniteLossError as error:  # the same training would diverge again
            return {"diverged": str(error)}
        return {**summarise(history), "images": len(pixels)}

    record = trained_once(folder, compute)
    if "diverged" in record:
        raise DivergedTrainingError(str(record["diverged"]))
    return functools.cache(lambda: load_encoder(folder / "encoder"))
