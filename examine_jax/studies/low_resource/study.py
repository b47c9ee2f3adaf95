"""The low-resource study's runs: pre-train, embed, classify; each is kept when it is done and never done again."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.shapes import Float, Int, UInt8
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.control_features import colour_statistics
from examine_jax.labelled.splits import check_split, stratified_split
from examine_jax.pretraining import Method, Phase, PretrainSettings, method_preset
from examine_jax.studies.common.kept import arrays, record
from examine_jax.studies.common.training_length import seconds_a_step, trained_once, training_steps, training_watch
from examine_jax.studies.examine.encoders import Embed
from examine_jax.studies.examine.sets import LabelledImages
from examine_jax.studies.low_resource.classifying import classify
from examine_jax.studies.low_resource.published import IMAGENET
from examine_jax.studies.low_resource.settings import LowResourceSettings
from examine_jax.training.non_finite import NonFiniteLossError

RANDOM_INITIALISATION, COLOURS = "random initialisation", "colour statistics"


@dataclasses.dataclass(frozen=True, eq=False)
class RunFindings:
    """What one encoder on one split is worth.

    Attributes:
        set_name, seed: of the images and of their split.
        name: a method's, or a control's.
        batch_size: of the pre-training; None: a control.
        figures: what `classify` gives; empty where the training diverged.
        training: steps, final_loss, seconds, cpu_seconds; empty for a control.
        file: the .npz file with the test images' `features` and `labels`.
        diverged: how the training's loss became NaN or infinite; None: it did not.
    """

    set_name: str
    seed: int
    name: str
    batch_size: int | None
    figures: dict[str, Any]
    training: dict[str, float]
    file: pathlib.Path
    diverged: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """Row numbers of a seed's training, validation and test images."""

    training: Int[np.ndarray, " t"]
    validation: Int[np.ndarray, " v"]
    test: Int[np.ndarray, " e"]


def divide(set_name: str, images: LabelledImages, settings: LowResourceSettings, seed: int) -> Division:
    """70/10/20, every class in every part, groups whole.

    Raises:
        ValueError: a class with too few images or groups for three parts; fewer training images than the largest batch, or no more than
            k. The message names the set and the class.
    """
    groups = images.groups if settings.keep_groups else None
    classes = np.array(images.classes)[images.labels]
    try:
        parts = stratified_split(classes, groups, shares=settings.shares, seed=seed)
        check_split(parts, classes, groups)
    except ValueError as error:
        raise ValueError(f"{set_name}: {error}") from error
    there, largest = len(parts[0]), settings.batches_on(set_name)[-1]
    if there < largest:
        raise ValueError(
            f"{set_name}: a batch of {largest} out of {there} training images (seed {seed}); give smaller batch sizes"
        )
    if there <= settings.k:
        raise ValueError(
            f"{set_name}: k is {settings.k}, and there are {there} training images (seed {seed}): all would vote, whatever the features; "
            "give a smaller k"
        )
    return Division(*parts)


def check_set(set_name: str, images: LabelledImages, settings: LowResourceSettings) -> dict[int, Division]:
    """Each seed's division; whatever is wrong with a set shows here, before anything is written or trained.

    Raises:
        ValueError: a name that is no folder's; images of another size or number of channels than the encoder's; as `divide`.
    """
    if not set_name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{set_name!r} is no name for a set: take letters, digits, - and _")
    encoder = settings.chosen().encoder
    wanted = (encoder.image_size, encoder.image_size, encoder.channels)
    if images.pixels.shape[1:] != wanted:
        raise ValueError(f"{set_name}: images are {images.pixels.shape[1:]}, the encoder takes {wanted}; read them so")
    return {seed: divide(set_name, images, settings, seed) for seed in settings.seeds}


def claim_study(workdir: str | os.PathLike[str], settings: LowResourceSettings) -> None:
    """Makes the folder this study's own. Sets, seeds, methods and batch sizes may be added later on: they change no other result.

    Raises:
        ValueError: the folder holds another study (which settings differ). OSError: it cannot be written.
    """
    first = dataclasses.replace(
        settings, methods=("dcl",), batch_sizes=(settings.table_batch,), ablated=None, seeds=(0,)
    )
    check_or_write_config(pathlib.Path(workdir) / "config.json", {"settings": to_plain(first)})


def claim_set(
    set_name: str, images: LabelledImages, workdir: str | os.PathLike[str], *, imagenet: Encoder | None = None
) -> None:
    """Makes workdir/set_name these images' own, and this ImageNet network's.

    Raises:
        ValueError: it holds other images, or another network's figures; a network of other channels. OSError: it cannot be written.
    """
    if imagenet is not None and imagenet.channels != images.pixels.shape[-1]:
        raise ValueError(
            f"the ImageNet network takes {imagenet.channels} channels, images have {images.pixels.shape[-1]}"
        )
    home = pathlib.Path(workdir) / set_name
    digest = hashlib.blake2b(digest_size=16)
    for part in (images.pixels, images.labels, images.groups):
        if part is not None:
            _add(digest, part)
    check_or_write_config(home / "config.json", {"images": digest.hexdigest()})
    if imagenet is not None:  # its figures are kept under one name
        digest = hashlib.blake2b(digest_size=16)
        for leaf in jax.tree.leaves((imagenet.params, imagenet.state)):
            _add(digest, np.asarray(leaf))
        check_or_write_config(home / "imagenet.json", {"network": digest.hexdigest()})


def trainings(set_name: str, settings: LowResourceSettings) -> list[tuple[str, int]]:
    """(method, batch size) of each of a seed's runs on a set, in their order."""
    return [(method, size) for method in settings.methods for size in settings.batches_on(set_name)]


def expected_seconds(
    sets: Mapping[str, LabelledImages], workdir: str | os.PathLike[str], settings: LowResourceSettings
) -> tuple[int, float | None]:
    """(trainings that are not done yet, about how long they take): CPU time on a CPU, the clock's elsewhere; without embedding and probes.

    Where steps are given in place of minutes, one step of the first method is timed at its smallest batch and taken to grow with the
    batch; None: so few steps that timing them would take longer.
    """
    home = pathlib.Path(workdir)
    left = [
        (name, size)
        for name in sets
        for seed in settings.seeds
        for method, size in trainings(name, settings)
        if not (_folder(home, name, seed, method, size) / "training.json").exists()
    ]
    if settings.minutes is not None:
        return len(left), 60 * settings.minutes * len(left)
    images = 0
    for name, size in left:
        steps = settings.steps
        if steps is None:
            _, training = method_preset(settings.methods[0], settings.chosen(), preset=settings.preset)
            share = settings.shares[0] / sum(settings.shares)
            steps = training.phases[0].count(max(1, round(share * len(sets[name].names)) // size))
        images += steps * size
    smallest = settings.batch_sizes[0]
    if images < _WORTH_TIMING * smallest:
        return len(left), None
    method, _ = method_preset(settings.methods[0], settings.chosen(), preset=settings.preset)
    pixels = next(iter(sets.values())).pixels
    return len(left), images / smallest * seconds_a_step(method, pixels, smallest)


def run_set(
    set_name: str,
    images: LabelledImages,
    workdir: str | os.PathLike[str],
    settings: LowResourceSettings,
    *,
    imagenet: Encoder | None = None,
    progress: bool = True,
) -> Iterator[RunFindings]:
    """Every run on one set, one by one as they are done: for each seed the controls, ImageNet's network where there is one, the methods.

    Args:
        set_name: a folder's name, of letters, digits, - and _.
        workdir: of the study (`claim_study`).
        imagenet: a network trained with ImageNet's labels, the paper's is a ResNet-50, for this image size (`pretraining.load_encoder`).

    Raises:
        ValueError, OSError: as `check_set` (before anything is written), `pretraining.pretrain`; a folder with other images, or with
            another network's figures.
    """
    divisions = check_set(set_name, images, settings)
    claim_set(set_name, images, workdir, imagenet=imagenet)
    home = pathlib.Path(workdir) / set_name
    # The controls' probes have the choices that the methods' have.
    swept = settings.batches_on(set_name) if settings.probe_batch_size is None else (settings.probe_batch_size,)
    for seed, division in divisions.items():
        controls: dict[str, Embed] = {
            RANDOM_INITIALISATION: _untrained(settings, seed).embed,
            COLOURS: _colour_statistics,
        }
        if imagenet is not None:
            controls[IMAGENET] = imagenet.embed
        for name, embed in controls.items():
            own = home / f"seed_{seed}" / name.replace(" ", "_")
            figures = _figures(own, embed, images, division, settings, swept, seed)
            yield RunFindings(set_name, seed, name, None, figures, {}, own / "test_features.npz")
        for name, batch_size in trainings(set_name, settings):
            own = _folder(pathlib.Path(workdir), set_name, seed, name, batch_size)
            arguments = (own, name, batch_size, images, division, pathlib.Path(workdir), settings, seed, progress)
            training = trained_once(own, functools.partial(_train, *arguments))
            if "diverged" in training:
                yield RunFindings(
                    *(set_name, seed, name, batch_size),
                    figures={},
                    training={},
                    file=own / "test_features.npz",
                    diverged=str(training["diverged"]),
                )
                continue
            figures = _figures(own, _saved(own / "encoder"), images, division, settings, (batch_size,), seed)
            yield RunFindings(set_name, seed, name, batch_size, figures, training, own / "test_features.npz")


_WORTH_TIMING = 1000  # steps


def _folder(workdir: pathlib.Path, set_name: str, seed: int, method: str, batch_size: int) -> pathlib.Path:
    return workdir / set_name / f"seed_{seed}" / f"{method}_{batch_size}"


def _add(digest: "hashlib.blake2b", values: np.ndarray) -> None:
    digest.update(f"{values.dtype}{values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data)


def _saved(folder: pathlib.Path) -> Embed:
    """The encoder in `folder`, read when it is first needed."""
    encoder = functools.cache(lambda: load_encoder(folder))
    return lambda pixels: encoder().embed(pixels)


def _colour_statistics(pixels: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
    # Some at a time: they are floats on the way.
    return np.concatenate([colour_statistics(pixels[start : start + 256]) for start in range(0, len(pixels), 256)])


def _untrained(settings: LowResourceSettings, seed: int) -> Encoder:
    # One method's whichever are studied: its figures are kept when others come.
    method, _ = method_preset("dcl", settings.chosen(), preset=settings.preset)
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
    batch_sizes: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """The classifiers' figures, kept in a file a batch size of the probe: of a control, more may be asked for later."""
    features: list[Float[np.ndarray, "n d"]] = []
    parts = (division.training, division.validation, division.test)
    labels = [images.labels[rows] for rows in parts]

    def embedded() -> list[Float[np.ndarray, "n d"]]:
        if not features:
            features.extend(np.asarray(embed(images.pixels[rows]), np.float32) for rows in parts)
        return features

    def classified(size: int) -> dict[str, Any]:
        return classify(embedded(), labels, len(images.classes), settings, batch_size=size, seed=seed)

    arrays(folder / "test_features.npz", lambda: {"features": embedded()[-1], "labels": labels[-1]})
    found = [record(folder / f"figures_{size}.json", functools.partial(classified, size)) for size in batch_sizes]
    return {**found[0], "probes": [probe for one in found for probe in one["probes"]]}


def _train(
    folder: pathlib.Path,
    name: str,
    batch_size: int,
    images: LabelledImages,
    division: Division,
    workdir: pathlib.Path,
    settings: LowResourceSettings,
    seed: int,
    progress: bool,
) -> dict[str, Any]:
    """Leaves the encoder in `folder`; what there is to tell of its training, or "diverged": how. Goes on where it was killed."""
    pixels = images.pixels[division.training]
    method, training = resolve(name, batch_size, pixels, workdir, settings, seed)
    if progress:
        print(
            f"{folder.relative_to(workdir)}: {training.phases[0].steps} steps of {batch_size} images", file=sys.stderr
        )
    told = training_watch()
    try:
        _, history = train_and_save(
            method, [pixels], training, folder, architecture=settings.architecture, progress=progress
        )
    except NonFiniteLossError as error:  # the same training would again
        return {"diverged": str(error)}
    return told(history)


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
    return method, dataclasses.replace(training, phases=(Phase(steps=steps),), batch_size=batch_size, seed=seed)


def read_test_features(found: RunFindings) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
    """(features, labels) of the run's test images."""
    there = arrays(found.file, dict)
    return there["features"], there["labels"]
