"""The low-resource study: pre-train, embed, classify; results are kept and never computed twice."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Float, UInt8
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.labelled.published.file_names import read_authors_folder
from examine_jax.labelled.published.registry import FILE_NAME_LAYOUTS
from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled
from examine_jax.studies.common import kept
from examine_jax.studies.common.controls import colour_features
from examine_jax.studies.common.notes import note, note_other_seeds
from examine_jax.studies.common.training_length import trained_once
from examine_jax.studies.low_resource.classifying import classify
from examine_jax.studies.low_resource.page import write_page
from examine_jax.studies.low_resource.published import IMAGENET
from examine_jax.studies.low_resource.results import COLOURS, RANDOM_INITIALISATION, RunResults
from examine_jax.studies.low_resource.set_description import describe
from examine_jax.studies.low_resource.settings import LowResourceSettings
from examine_jax.studies.low_resource.splits import LowResourceSplit, check_set
from examine_jax.studies.low_resource.training import (
    expected_seconds,
    folder_of,
    train,
    trainings,
    untrained,
)

Embed = Callable[[UInt8[np.ndarray, "n h w c"]], Float[np.ndarray, "n d"]]


def run(
    settings: LowResourceSettings,
    sets: Mapping[str, LabelledSource],
    workdir: str | os.PathLike[str],
    *,
    imagenet: str | os.PathLike[str] | None = None,
    device: str | None = None,
    progress: bool = True,
) -> tuple[RunResults, ...]:
    """Runs the study: reads all sets, runs all seeds, writes the page after each seed of a set.

    A run that was killed continues when it is started again. Sets, seeds, methods, batch sizes and
    the ImageNet network may be added later in the same folder: they change no other result.

    Args:
        settings: of the study (`low_resource_preset`).
        sets: by name. Sets named "breast", "colorectal" and "pneumonia" are read from their
            authors' folders, unless they have a CSV file of labels, and stand beside the paper's
            numbers.
        workdir: everything is written here; the page is low_resource.html.
        imagenet: a network trained with ImageNet's labels (`load_encoder`), for the transfer row.
        device: what the page calls the device.
        progress: show on stderr what is done and how far it is.

    Returns:
        The results of every run, in order.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    shape = settings.chosen().encoder
    images = {name: _read(name, source, settings, progress) for name, source in sets.items()}
    for name, of_set in images.items():
        check_set(name, of_set, settings)
    supervised = None if imagenet is None else load_encoder(imagenet, image_size=shape.image_size)
    check_folder(workdir, settings)
    for name, of_set in images.items():
        check_set_folder(name, of_set, workdir, imagenet=supervised)
        note_other_seeds(workdir / name, settings.seeds, progress)
    missing, seconds = expected_seconds(images, workdir, settings)
    about = (
        ""
        if seconds is None
        else f", about {seconds / 3600:.1f} h of computing, embedding and probes not counted"
    )
    note(f"{missing} trainings to do{about}; what is done is kept", progress)
    results, described = [], {}
    for name, of_set in images.items():
        described[name] = describe(of_set)
        last = settings.methods[-1], settings.batches_on(name)[-1]
        for one in run_set(name, of_set, workdir, settings, imagenet=supervised, progress=progress):
            results.append(one)
            batch = "" if one.batch_size is None else f", batch {one.batch_size}"
            outcome = one.diverged or f"kNN accuracy {one.figures['knn']['accuracy']:.3f}"
            note(f"{name}, seed {one.seed}, {one.name}{batch}: {outcome}", progress)
            if (one.name, one.batch_size) == last:  # of this seed
                page = write_page(
                    workdir, results, described, settings, device=device or jax.default_backend()
                )
                note(f"{name}, seed {one.seed} is done; open {page}", progress)
    return tuple(results)


def _read(
    name: str, source: LabelledSource, settings: LowResourceSettings, progress: bool
) -> LabelledImages:
    folder, shape = pathlib.Path(source.images), settings.chosen().encoder
    prepared_by_tfds = (folder / "dataset_info.json").is_file()
    with progress_bar(f"images of {name}", progress) as report:
        if (
            name in FILE_NAME_LAYOUTS
            and source.labels is None
            and folder.is_dir()
            and not prepared_by_tfds
        ):
            if source.groups is not None:
                raise ValueError(
                    f"--groups={name}=... needs --labels={name}=...: official folders name their "
                    "own"
                )
            return read_authors_folder(
                os.fspath(source.images),
                name,
                image_size=shape.image_size,
                channels=shape.channels,
                on_progress=report,
            )
        return read_labelled(
            source, image_size=shape.image_size, channels=shape.channels, on_progress=report
        )


def check_folder(workdir: str | os.PathLike[str], settings: LowResourceSettings) -> None:
    """Writes the study's settings to its folder, or compares them with those that are there.

    Sets, seeds, methods and batch sizes are not compared: they may be added later.

    Raises:
        ValueError: the folder holds another study (which settings differ).
        OSError: it cannot be written.
    """
    compared = dataclasses.replace(
        settings, methods=("dcl",), batch_sizes=(settings.table_batch,), ablated=None, seeds=(0,)
    )
    check_or_write_config(pathlib.Path(workdir) / "config.json", {"settings": to_plain(compared)})


def check_set_folder(
    set_name: str,
    images: LabelledImages,
    workdir: str | os.PathLike[str],
    *,
    imagenet: Encoder | None = None,
) -> None:
    """Writes digests of images and ImageNet network to workdir/set_name, or compares them.

    Raises:
        ValueError: the folder holds other images or another network's results, or the network takes
            other channels.
        OSError: it cannot be written.
    """
    if imagenet is not None and imagenet.channels != images.pixels.shape[-1]:
        raise ValueError(
            f"the ImageNet network takes {imagenet.channels} channels, images have "
            f"{images.pixels.shape[-1]}"
        )
    home = pathlib.Path(workdir) / set_name
    check_or_write_config(home / "config.json", {"images": images.digest()})
    if imagenet is not None:  # results of all networks would have the same file names
        leaves = jax.tree.leaves((imagenet.params, imagenet.state))
        check_or_write_config(
            home / "imagenet.json", {"network": digest_arrays(map(np.asarray, leaves))}
        )


def run_set(
    set_name: str,
    images: LabelledImages,
    workdir: str | os.PathLike[str],
    settings: LowResourceSettings,
    *,
    imagenet: Encoder | None = None,
    progress: bool = True,
) -> Iterator[RunResults]:
    """Yields all results on one set: for each seed the controls, the ImageNet network, the methods.

    Args:
        set_name: a folder's name, of letters, digits, - and _.
        images: of the set.
        workdir: of the study (`check_folder`).
        settings: of the study.
        imagenet: a network trained with ImageNet's labels, for this image size; the paper's is a
            ResNet-50.
        progress: show on stderr what is done and how far it is.

    Raises:
        ValueError, OSError: as `check_set` (before anything is written), `check_set_folder` and
            `pretraining.pretrain`.
    """
    splits = check_set(set_name, images, settings)
    check_set_folder(set_name, images, workdir, imagenet=imagenet)
    home = pathlib.Path(workdir) / set_name
    # The controls' probes have the same choices as the methods'.
    swept = (
        settings.batches_on(set_name)
        if settings.probe_batch_size is None
        else (settings.probe_batch_size,)
    )
    for seed, split in splits.items():
        controls: dict[str, Embed] = {
            RANDOM_INITIALISATION: untrained(settings, seed).embed,
            COLOURS: colour_features,
        }
        if imagenet is not None:
            controls[IMAGENET] = imagenet.embed
        for name, embed in controls.items():
            own = home / f"seed_{seed}" / name.replace(" ", "_")
            figures = _figures(own, embed, images, split, settings, swept, seed)
            yield RunResults(set_name, seed, name, None, figures, {}, own / "test_features.npz")
        for name, batch_size in trainings(set_name, settings):
            own = folder_of(pathlib.Path(workdir), set_name, seed, name, batch_size)
            pixels = images.pixels[split.training]
            arguments = (
                own,
                name,
                batch_size,
                pixels,
                pathlib.Path(workdir),
                settings,
                seed,
                progress,
            )
            training = trained_once(own, functools.partial(train, *arguments))
            if "diverged" in training:
                yield RunResults(
                    *(set_name, seed, name, batch_size),
                    figures={},
                    training={},
                    file=own / "test_features.npz",
                    diverged=str(training["diverged"]),
                )
                continue
            figures = _figures(
                own, _saved_encoder(own / "encoder"), images, split, settings, (batch_size,), seed
            )
            yield RunResults(
                set_name, seed, name, batch_size, figures, training, own / "test_features.npz"
            )


def _saved_encoder(folder: pathlib.Path) -> Embed:
    """Returns the embedding of the encoder in `folder`, which is read when it is first needed."""
    encoder = functools.cache(lambda: load_encoder(folder))
    return lambda pixels: encoder().embed(pixels)


def _figures(
    folder: pathlib.Path,
    embed: Embed,
    images: LabelledImages,
    split: LowResourceSplit,
    settings: LowResourceSettings,
    batch_sizes: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Returns the classifiers' figures, kept in one file per batch size of the probe."""
    features: list[Float[np.ndarray, "n d"]] = []
    parts = (split.training, split.validation, split.test)
    labels = [images.labels[rows] for rows in parts]

    def embedded() -> list[Float[np.ndarray, "n d"]]:
        if not features:
            features.extend(np.asarray(embed(images.pixels[rows]), np.float32) for rows in parts)
        return features

    def classified(size: int) -> dict[str, Any]:
        return classify(
            embedded(), labels, len(images.classes), settings, batch_size=size, seed=seed
        )

    kept.arrays(
        folder / "test_features.npz", lambda: {"features": embedded()[-1], "labels": labels[-1]}
    )
    found = [
        kept.json(folder / f"figures_{size}.json", functools.partial(classified, size))
        for size in batch_sizes
    ]
    return {**found[0], "probes": [probe for one in found for probe in one["probes"]]}
