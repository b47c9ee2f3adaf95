"""The low-resource study's runs: pre-train, embed, classify; each is kept when it is done and never done again."""

import dataclasses
import hashlib
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from examine_jax._shapes import Float, Int
from examine_jax.encoder_training import train_and_save
from examine_jax.evaluation.control_features import colour_statistics
from examine_jax.evaluation.splits import check_split, stratified_split
from examine_jax.experiments.encoders import Embed, seconds_a_step
from examine_jax.experiments.low_resource.classifying import classify
from examine_jax.experiments.low_resource.published import IMAGENET
from examine_jax.experiments.low_resource.settings import LowResourceSettings
from examine_jax.experiments.sets import LabelledImages
from examine_jax.experiments.stages import arrays, record
from examine_jax.pretraining import Encoder, Method, Phase, PretrainSettings, load_encoder, method_preset
from examine_jax.pretraining.configuration import claim, to_plain

RANDOM_INITIALISATION, COLOURS = "random initialisation", "colour statistics"


@dataclasses.dataclass(frozen=True, eq=False)
class RunFindings:
    """What one encoder on one split is worth.

    Attributes:
        set_name, seed: of the images and of their split.
        name: a method's, or a control's.
        batch_size: of the pre-training; None: a control.
        figures: what `classify` gives.
        training: steps, final_loss, seconds, cpu_seconds; empty for a control.
        file: the .npz file with the test images' `features` and `labels`.
    """

    set_name: str
    seed: int
    name: str
    batch_size: int | None
    figures: dict[str, Any]
    training: dict[str, float]
    file: pathlib.Path


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """Row numbers of a seed's training, validation and test images."""

    training: Int[np.ndarray, " t"]
    validation: Int[np.ndarray, " v"]
    test: Int[np.ndarray, " e"]


def divide(images: LabelledImages, settings: LowResourceSettings, seed: int) -> Division:
    """70/10/20, every class in every part, groups whole.

    Raises:
        ValueError: a class with too few images or groups for three parts; fewer training images than the largest batch.
    """
    groups = images.groups if settings.keep_groups else None
    parts = stratified_split(images.labels, groups, shares=settings.shares, seed=seed)
    check_split(parts, images.labels, groups)
    if len(parts[0]) < settings.batch_sizes[-1]:
        raise ValueError(
            f"a batch of {settings.batch_sizes[-1]} out of {len(parts[0])} training images (seed {seed}); give smaller batch sizes"
        )
    return Division(*parts)


def claim_study(workdir: str | os.PathLike[str], settings: LowResourceSettings) -> None:
    """Makes the folder this study's own. Sets, seeds, methods and batch sizes may be added later on: they change no other result.

    Raises:
        ValueError: the folder holds another study (which settings differ). OSError: it cannot be written.
    """
    first = dataclasses.replace(
        settings, methods=("dcl",), batch_sizes=(settings.table_batch,), ablated=None, seeds=(0,)
    )
    claim(pathlib.Path(workdir) / "config.json", {"settings": to_plain(first)})


def run_set(
    set_name: str,
    images: LabelledImages,
    workdir: str | os.PathLike[str],
    settings: LowResourceSettings,
    *,
    imagenet: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Iterator[RunFindings]:
    """Every run on one set, one by one as they are done: for each seed the controls, ImageNet's network where there is one, the methods.

    Args:
        set_name: a folder's name, of letters, digits, - and _.
        workdir: of the study (`claim_study`).
        imagenet: a local file or folder with a ResNet-50 trained with ImageNet's labels (`pretraining.load_encoder`).

    Raises:
        ValueError, OSError: as `divide` (of every seed, before anything is trained), `pretraining.pretrain`, `load_encoder`.
    """
    if not set_name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{set_name!r} is no name for a set: take letters, digits, - and _")
    divisions = {seed: divide(images, settings, seed) for seed in settings.seeds}
    size = settings.chosen().encoder.image_size
    supervised = None if imagenet is None else load_encoder(imagenet, image_size=size)
    if supervised is not None and supervised.channels != images.pixels.shape[-1]:
        raise ValueError(f"{imagenet} takes {supervised.channels} channels, the images have {images.pixels.shape[-1]}")
    home = pathlib.Path(workdir) / set_name
    digest = hashlib.blake2b(digest_size=16)
    for part in (images.pixels, images.labels, images.groups):
        if part is not None:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
    claim(home / "config.json", {"images": digest.hexdigest()})
    if imagenet is not None:  # its figures are kept under one name
        claim(home / "imagenet.json", {"file": pathlib.Path(imagenet).name})
    # The controls' probes have the choices that the methods' have.
    swept = settings.batches_on(set_name) if settings.probe_batch_size is None else (settings.probe_batch_size,)
    for seed, division in divisions.items():
        folder = home / f"seed_{seed}"
        controls: dict[str, Embed] = {
            RANDOM_INITIALISATION: _untrained(settings, seed).embed,
            COLOURS: colour_statistics,
        }
        if supervised is not None:
            controls[IMAGENET] = supervised.embed
        for name, embed in controls.items():
            own = folder / name.replace(" ", "_")
            figures = _figures(own, embed, images, division, settings, swept, seed)
            yield RunFindings(set_name, seed, name, None, figures, {}, own / "test_features.npz")
        for name in settings.methods:
            for batch_size in settings.batches_on(set_name):
                own = folder / f"{name}_{batch_size}"
                if not (own / "figures.json").exists():
                    pixels = images.pixels[division.training]
                    encoder = _trained(own, name, batch_size, pixels, pathlib.Path(workdir), settings, seed, progress)
                    _figures(own, encoder.embed, images, division, settings, (batch_size,), seed)
                figures = record(own / "figures.json", dict)
                training = record(own / "training.json", dict)
                yield RunFindings(set_name, seed, name, batch_size, figures, training, own / "test_features.npz")


def _untrained(settings: LowResourceSettings, seed: int) -> Encoder:
    method, _ = method_preset(settings.methods[0], settings.chosen(), preset=settings.preset)
    shape = settings.chosen().encoder
    pixels = np.zeros((2, shape.image_size, shape.image_size, shape.channels), np.uint8)
    example = {"image": pixels, "index": np.arange(2, dtype=np.int32)}
    return Encoder(method, *method.init(jax.random.key(seed), example))


def _figures(
    folder: pathlib.Path,
    embed: Embed,
    images: LabelledImages,
    division: Division,
    settings: LowResourceSettings,
    batch_sizes: tuple[int, ...],
    seed: int,
) -> dict[str, Any]:
    """The classifiers' figures, kept in figures.json, which is written last."""

    def compute() -> dict[str, Any]:
        parts = (division.training, division.validation, division.test)
        features = [np.asarray(embed(images.pixels[rows]), np.float32) for rows in parts]
        labels = [images.labels[rows] for rows in parts]
        arrays(folder / "test_features.npz", lambda: {"features": features[-1], "labels": labels[-1]})
        return classify(features, labels, len(images.classes), settings, batch_sizes=batch_sizes, seed=seed)

    return record(folder / "figures.json", compute)


def _trained(
    folder: pathlib.Path,
    name: str,
    batch_size: int,
    pixels: np.ndarray,
    workdir: pathlib.Path,
    settings: LowResourceSettings,
    seed: int,
    progress: bool,
) -> Encoder:
    """The encoder in `folder`; trained where it is not there yet, or not to its end."""
    if (folder / "training.json").exists():
        return load_encoder(folder / "encoder")
    method, training = resolve(name, batch_size, pixels, workdir, settings, seed)
    if progress:
        print(
            f"{folder.relative_to(workdir)}: {training.phases[0].steps} steps of {batch_size} images", file=sys.stderr
        )
    begin, computing = time.perf_counter(), time.process_time()
    encoder, history = train_and_save(
        method, [pixels], training, folder, architecture=settings.architecture, progress=progress
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
    name: str,
    batch_size: int,
    pixels: np.ndarray,
    workdir: pathlib.Path,
    settings: LowResourceSettings,
    seed: int,
) -> tuple[Method, PretrainSettings]:
    """The method and its training; the steps that minutes pay for are measured once, for all seeds and sets."""
    chosen = settings.chosen()
    method, training = method_preset(name, chosen, preset=settings.preset)
    if settings.steps is not None:
        steps = settings.steps
    elif settings.minutes is not None:
        minutes = settings.minutes

        def measured() -> dict[str, float]:
            cost = seconds_a_step(method, pixels, batch_size)
            return {"seconds_a_step": cost, "steps": float(max(2, round(60 * minutes / cost)))}

        steps = int(record(workdir / "steps" / f"{name}_{batch_size}.json", measured)["steps"])
    else:
        steps = training.phases[0].count(max(1, len(pixels) // batch_size))
    method, training = method_preset(name, chosen, preset=settings.preset, steps=steps)
    return method, dataclasses.replace(training, phases=(Phase(steps=steps),), batch_size=batch_size, seed=seed)


def read_test_features(found: RunFindings) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
    """(features, labels) of the run's test images."""
    there = arrays(found.file, dict)
    return there["features"], there["labels"]
