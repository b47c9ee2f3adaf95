"""The transfer study: split, train, probe, fine-tune; results are kept, never computed twice."""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Float, UInt8
from examine_jax.encoders import Encoder
from examine_jax.encoders.base import load_base
from examine_jax.evaluation.bootstrap import Interval
from examine_jax.evaluation.classifier_training import DivergedError
from examine_jax.images import load_images
from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled
from examine_jax.models.low_rank import adapted_layers
from examine_jax.studies.common import kept
from examine_jax.studies.common.controls import colour_features
from examine_jax.studies.common.notes import note, note_other_seeds
from examine_jax.studies.common.resizing import resized
from examine_jax.studies.transfer.classifying import figures, probed, tuned
from examine_jax.studies.transfer.encoders import (
    DivergedTrainingError,
    GivenEncoder,
    read_encoders,
    trained_from_scratch,
)
from examine_jax.studies.transfer.networks import SeedNetwork, networks
from examine_jax.studies.transfer.page import write_page
from examine_jax.studies.transfer.results import (
    COLOURS,
    SELF,
    SOURCE,
    TrainingRecord,
    TransferResult,
)
from examine_jax.studies.transfer.sets import TransferSplit, divide, shared_images
from examine_jax.studies.transfer.settings import TransferSettings

AtSize = Callable[[int], UInt8[np.ndarray, "n h w c"]]


def run(
    settings: TransferSettings,
    target: LabelledSource,
    workdir: str | os.PathLike[str],
    *,
    encoders: Sequence[str] = (),
    source: str | os.PathLike[str] | None = None,
    device: str | None = None,
    progress: bool = True,
) -> tuple[TransferResult, ...]:
    """Runs the study: reads the images, runs all seeds, writes the page after each seed.

    A run that was killed continues when it is started again. Seeds, encoders, uses and shares may
    be added later in the same folder: they change no other result.

    Args:
        settings: of the study (`transfer_preset`).
        target: labelled images, on which all is compared.
        workdir: everything is written here; the page is transfer.html.
        encoders: encoders from elsewhere (`load_encoder`), each as FOLDER or NAME=FOLDER.
        source: images from elsewhere, on which an encoder is trained first, without labels.
        device: what the page calls the device.
        progress: show on stderr what is done and how far it is.

    Returns:
        The results, in order.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    if not encoders and source is None:
        raise ValueError("the study needs an encoder from elsewhere: give encoders, or a source")
    if source is not None and _same_place(source, target.images):
        raise ValueError(
            f"{source} is both the source and the target: nothing would be transferred; give "
            "another source"
        )
    workdir = pathlib.Path(workdir)
    given = read_encoders(encoders, settings)
    shape = settings.chosen().encoder
    if source is not None and (low_rank := settings.low_rank()) is not None:
        adapted_layers(shape, low_rank.layers)  # the source's encoder is adapted too
    with progress_bar("images", progress) as report:
        images = read_labelled(
            target, image_size=settings.image_size, channels=shape.channels, on_progress=report
        )
    splits = {seed: divide(images, settings, seed) for seed in settings.seeds}
    shared = 0
    if source is not None:
        source_images = _read_source(source, settings, progress)
        shared = shared_images(source_images, images.pixels)
        if shared == len(source_images):
            raise ValueError(
                f"all {shared} images of the source {source} are images of the target: nothing "
                "would be transferred; give another source"
            )
    check_folder(workdir, settings, images, given)
    note_other_seeds(workdir, settings.seeds, progress)
    names = [*(one.name for one in given), *([] if source is None else [SOURCE])]
    note(_to_do(workdir, settings, names), progress)
    at_size = functools.cache(functools.partial(resized, images.pixels))
    if source is not None:
        given = (*given, _trained_on_source(source_images, workdir, settings, progress))
    results: list[TransferResult] = []
    for seed, split in splits.items():
        results += run_seed(
            images, split, given, workdir, settings, seed, at_size=at_size, progress=progress
        )
        page = write_page(
            workdir,
            results,
            training_records(workdir, settings, names),
            images,
            settings,
            shared=shared,
            device=device or jax.default_backend(),
        )
        note(f"seed {seed} is done; open {page}", progress)
    return tuple(results)


def _same_place(first: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    if os.fspath(first) == os.fspath(other):
        return True
    return os.path.exists(first) and os.path.exists(other) and os.path.samefile(first, other)


def _read_source(
    source: str | os.PathLike[str], settings: TransferSettings, progress: bool
) -> UInt8[np.ndarray, "n h w c"]:
    with progress_bar("images of the source", progress) as report:
        found = load_images(
            source,
            image_size=settings.image_size,
            channels=settings.chosen().encoder.channels,
            on_progress=report,
        )
    if len(found.pixels) < 2:
        raise ValueError(f"the source {source} has {len(found.pixels)} images; give 2 at least")
    return found.pixels


def _trained_on_source(
    pixels: UInt8[np.ndarray, "n h w c"],
    workdir: pathlib.Path,
    settings: TransferSettings,
    progress: bool,
) -> GivenEncoder:
    """Trains the source's encoder, once for all seeds."""
    folder = workdir / "source"
    check_or_write_config(folder / "config.json", {"images": digest_arrays([pixels])})
    small = resized(pixels, settings.chosen().encoder.image_size)
    trained_from_scratch(
        folder / "training",
        small,
        workdir,
        settings,
        0,
        factor=settings.source_factor,
        progress=progress,
    )
    return GivenEncoder(SOURCE, load_base(folder / "training" / "encoder"))


def check_folder(
    workdir: str | os.PathLike[str],
    settings: TransferSettings,
    images: LabelledImages,
    given: Sequence[GivenEncoder],
) -> None:
    """Writes settings and digests to the study's folder, or compares them with those there.

    Seeds, encoders, uses and shares are not compared: they may be added later.

    Raises:
        ValueError: the folder holds another study, or another encoder of the same name.
        OSError: it cannot be written.
    """
    home = pathlib.Path(workdir)
    compared = dataclasses.replace(settings, uses=("frozen",), shares=(1.0,), seeds=(0,))
    check_or_write_config(
        home / "config.json", {"settings": to_plain(compared), "images": images.digest()}
    )
    for one in given:
        check_or_write_config(
            home / "encoders" / one.name / "config.json", {"network": one.described()}
        )


def run_seed(
    images: LabelledImages,
    split: TransferSplit,
    given: Sequence[GivenEncoder],
    workdir: pathlib.Path,
    settings: TransferSettings,
    seed: int,
    *,
    at_size: AtSize,
    progress: bool = True,
) -> Iterator[TransferResult]:
    """Yields the results of one seed, encoder by encoder.

    Args:
        images: all of them.
        split: of the seed.
        given: encoders from elsewhere.
        workdir: of the study (`check_folder`).
        settings: of the study.
        seed: of the split and of all trainings.
        at_size: gives all images at a size.
        progress: show on stderr what is done.
    """
    groups = None if images.groups is None else images.groups[split.test]

    def kept_figures(
        file: pathlib.Path, share: float, scored: Callable[[], Float[np.ndarray, "t classes"]]
    ) -> dict[str, Any]:
        def compute() -> dict[str, Any]:
            try:
                scores = scored()
            except (DivergedError, DivergedTrainingError) as error:
                return {"diverged": str(error)}
            return figures(scores, images.labels[split.test], groups, settings, seed)

        return kept.json(file, compute)

    def result(encoder: str, use: str, share: float, found: dict[str, Any]) -> TransferResult:
        labels = len(split.labelled[share])
        if "diverged" in found:
            outcome = f"diverged: {found['diverged']}"
            made = TransferResult(
                seed, encoder, use, share, labels, None, None, str(found["diverged"])
            )
        else:
            accuracy, auroc = Interval(*found["balanced_accuracy"]), Interval(*found["auroc"])
            outcome = f"balanced accuracy {accuracy.value:.3f}, AUROC {auroc.value:.3f}"
            made = TransferResult(seed, encoder, use, share, labels, accuracy, auroc)
        note(f"seed {seed}, {encoder}, {use}, {labels} labels: {outcome}", progress)
        return made

    @functools.cache
    def colours() -> Float[np.ndarray, "n d"]:
        return _kept_features(
            workdir / "encoders" / "colours.npz", lambda: colour_features(images.pixels)
        )

    for share in settings.shares:
        found = kept_figures(
            workdir / f"seed_{seed}" / "colours" / f"probed_{share:g}.json",
            share,
            lambda share=share: probed(colours(), images, split, share, settings),  # type: ignore[misc]
        )
        yield result(COLOURS, "frozen", share, found)
    for network in networks(given, split, at_size, workdir, settings, seed, progress):
        features = functools.cache(functools.partial(_features, network, at_size))
        for done, use in network.uses.items():
            for share in settings.shares:
                scored = functools.partial(
                    _scores,
                    done,
                    network,
                    features,
                    images,
                    split,
                    share=share,
                    settings=settings,
                    seed=seed,
                    at_size=at_size,
                )
                found = kept_figures(network.folder / f"{done}_{share:g}.json", share, scored)
                yield result(network.encoder, use, share, found)


def _kept_features(file: pathlib.Path, embed: Callable[[], np.ndarray]) -> np.ndarray:
    return kept.arrays(file, lambda: {"features": embed()})["features"]


def _features(network: SeedNetwork, at_size: AtSize) -> Float[np.ndarray, "n d"]:
    """Returns the features of all images; the encoder is made only if they are not kept."""

    def embed() -> Float[np.ndarray, "n d"]:
        encoder: Encoder = network.make()
        return encoder.embed(at_size(encoder.image_size))

    return _kept_features(network.features, embed)


def _scores(
    done: str,
    network: SeedNetwork,
    features: Callable[[], Float[np.ndarray, "n d"]],
    images: LabelledImages,
    split: TransferSplit,
    *,
    share: float,
    settings: TransferSettings,
    seed: int,
    at_size: AtSize,
) -> Float[np.ndarray, "t classes"]:
    """Returns the held-out images' scores by a network, "probed" or "tuned"."""
    if done == "probed":
        return probed(features(), images, split, share, settings)
    encoder = network.make()
    return tuned(
        encoder,
        at_size(encoder.image_size),
        images,
        split,
        share,
        settings,
        seed,
        from_scratch=not network.trained,
    )


def _training_files(
    workdir: pathlib.Path, settings: TransferSettings, names: Sequence[str]
) -> list[tuple[int | None, str, pathlib.Path]]:
    """Returns (seed, encoder, file of the record) of each training without labels."""
    places = [(None, SOURCE, workdir / "source")] if SOURCE in names else []
    found: list[tuple[int | None, str, pathlib.Path]] = [*places]
    adapted = {"adapted", "adapted_fine_tuned"} & set(settings.uses)
    for seed in settings.seeds:
        home = workdir / f"seed_{seed}"
        found.append((seed, SELF, home / "scratch"))
        if adapted:
            found += [(seed, f"{name} (adapted)", home / "adapted" / name) for name in names]
    return [(seed, name, home / "training" / "training.json") for seed, name, home in found]


def _to_do(workdir: pathlib.Path, settings: TransferSettings, names: Sequence[str]) -> str:
    """Says how many trainings are missing, and how long they take where that is known."""
    left = [
        settings.source_factor if encoder == SOURCE else 1.0
        for _, encoder, file in _training_files(workdir, settings, names)
        if not file.exists()
    ]
    about = ""
    if settings.steps is None and settings.minutes is not None:
        hours = sum(left) * settings.minutes / 60
        about = f", about {hours:.1f} h of computing, fine-tuning and probes not counted"
    return f"{len(left)} trainings without labels to do{about}; what is done is kept"


def training_records(
    workdir: pathlib.Path, settings: TransferSettings, names: Sequence[str]
) -> tuple[TrainingRecord, ...]:
    """Returns the records of the trainings without labels that are done.

    Args:
        workdir: of the study.
        settings: of the study.
        names: of the encoders from elsewhere.
    """
    found = []
    for trained_with, encoder, file in _training_files(workdir, settings, names):
        record = json.loads(file.read_text()) if file.exists() else {"diverged": ""}
        if "diverged" not in record:
            numbers = int(record["images"]), int(record["steps"])
            times = float(record["seconds"]), float(record["cpu_seconds"])
            found.append(TrainingRecord(trained_with, encoder, *numbers, *times))
    return tuple(found)
