"""BYOL-TracIn's study, one seed after the other; results are kept and never computed twice."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.progress import progress_bar
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.evaluation.classifier_training import DivergedError
from examine_jax.pretraining.extra_positives import TracInPositive
from examine_jax.reporting.charts.neighbour_galleries import Neighbours
from examine_jax.studies.byol_tracin.downstream import colours, fine_tuned
from examine_jax.studies.byol_tracin.gallery import nearest_in_batch
from examine_jax.studies.byol_tracin.page import write_page
from examine_jax.studies.byol_tracin.results import LEFT_OUT, ByolTracInSeedResults, Gallery
from examine_jax.studies.byol_tracin.sets import (
    Split,
    StudySet,
    StudySource,
    divide_both,
    read_set,
    some_rows,
)
from examine_jax.studies.byol_tracin.settings import COLOURS, UNTRAINED, StudySettings
from examine_jax.studies.byol_tracin.training import (
    byol_cost,
    check_methods,
    resolve,
    train,
    untrained,
)
from examine_jax.studies.common import kept
from examine_jax.studies.common.notes import note, note_other_seeds
from examine_jax.studies.common.training_length import training_record

_GALLERY_BATCH = 64


def run(
    settings: StudySettings,
    source: StudySource,
    transfer: StudySource,
    workdir: str | os.PathLike[str],
    *,
    device: str | None = None,
    progress: bool = True,
) -> tuple[ByolTracInSeedResults, ...]:
    """Runs the study: reads both sets, runs all seeds, and writes the page after each.

    A run that was killed continues when it is started again. Seeds and methods may be added later
    in the same folder: they change no other result.

    Args:
        settings: of the study (`byol_tracin_preset`).
        source: the set to pre-train and to fine-tune on.
        transfer: the set to transfer to.
        workdir: everything is written here; the page is byol_tracin.html.
        device: what the page calls the device.
        progress: show on stderr what is done and how far it is.

    Returns:
        The results of each seed, in order.

    Raises:
        ValueError, OSError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    first, second = (_read(where, settings, progress) for where in (source, transfer))
    splits = check_folder(workdir, first, second, settings)
    note(expected_time(workdir, first, splits, settings), progress)
    note_other_seeds(workdir, settings.seeds, progress)
    results: list[ByolTracInSeedResults] = []
    for seed, both in zip(settings.seeds, splits):
        results.append(run_seed(first, second, both, workdir, settings, seed, progress=progress))
        shown = gallery(first, splits[0][0], workdir, settings, settings.seeds[0])
        page = write_page(
            workdir, results, first, second, settings, shown, device=device or jax.default_backend()
        )
        note(f"{len(results)} of {len(settings.seeds)} seeds are done; open {page}", progress)
    return tuple(results)


def _read(where: StudySource, settings: StudySettings, progress: bool) -> StudySet:
    encoder = settings.chosen().encoder
    with progress_bar("images", progress) as report:
        return read_set(
            where, image_size=encoder.image_size, channels=encoder.channels, on_progress=report
        )


def check_folder(
    workdir: str | os.PathLike[str], source: StudySet, other: StudySet, settings: StudySettings
) -> list[tuple[Split, Split]]:
    """Splits both sets for every seed; writes the study's settings to its folder or compares them.

    What does not fit is found before anything is trained. Seeds and methods are not compared: they
    may be added later.

    Raises:
        ValueError: the folder holds another study (which settings differ), a set cannot be split,
            or a scorer does not fit.
        OSError: the folder cannot be written.
    """
    scorer = check_methods(settings)
    splits = [divide_both(source, other, settings, seed) for seed in settings.seeds]
    compared = dataclasses.replace(settings, seeds=(0,), methods=("byol",), anchors=1, scorer=None)
    sets = {"source": source.fingerprint(), "transfer": other.fingerprint()}
    check_or_write_config(
        pathlib.Path(workdir) / "config.json",
        {"sets": sets, "settings": to_plain(compared), "scorer": scorer},
    )
    return splits


def expected_time(
    workdir: str | os.PathLike[str],
    source: StudySet,
    splits: list[tuple[Split, Split]],
    settings: StudySettings,
) -> str:
    """Measures a step of plain BYOL; returns a sentence on how long the whole study takes."""
    workdir = pathlib.Path(workdir)
    split, other = splits[0]
    pixels, _ = _training(source, split)
    cost = byol_cost(pixels, workdir, settings)
    name = settings.trained_first()[0]
    _, training = resolve(name, pixels, workdir, settings, settings.seeds[0])
    count = training.phases[0].steps or 1
    pretraining = cost * count
    # In units of plain BYOL's step, measured with `small`: a scorer adds 10 or 20%; an image in a
    # fine-tuning, which has one view and no target network, takes a quarter.
    trained = sum(
        {"byol_fs_pretrained": 1.1, "byol_tracin_pretrained": 1.2}.get(name, 1)
        for name in settings.methods
    )
    labelled = [len(rows) for rows in (*split.labelled.values(), other.training)]
    tuning = (
        cost
        / training.batch_size
        / 4
        * sum(settings.tuning(rows).epochs * rows for rows in labelled)
    )
    rows = len(settings.methods) + 1
    whole = len(settings.seeds) * (trained * pretraining + rows * tuning)
    return (
        f"{len(settings.seeds)} seeds x {len(settings.methods)} pre-trainings of "
        f"{_minutes(pretraining)} or more "
        f"({count:,} steps of {training.batch_size} images), and {rows} rows of fine-tuning of "
        f"{_minutes(tuning)} a seed: "
        f"about {whole / 3600:.1f} hours of computing in all, less what is done already"
    )


def run_seed(
    source: StudySet,
    other: StudySet,
    splits: tuple[Split, Split],
    workdir: str | os.PathLike[str],
    settings: StudySettings,
    seed: int,
    *,
    progress: bool = True,
) -> ByolTracInSeedResults:
    """Runs one repetition, in workdir/seed_S; one that was killed continues.

    Args:
        source: the set to pre-train and to fine-tune on.
        other: the set to transfer to.
        splits: of both sets, for this seed.
        workdir: of the study (`check_folder`).
        settings: of the study.
        seed: of the trainings.
        progress: show on stderr what is done and how far it is.

    Raises:
        ValueError, OSError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    folder = workdir / f"seed_{seed}"
    split, other_split = splits
    pixels, codes = _training(source, split)
    semi: dict[str, dict[float, dict[str, Any]]] = {}
    transfer: dict[str, dict[str, Any]] = {}

    semi[COLOURS] = {
        share: kept.json(
            folder / "colours" / f"{share:g}.json",
            functools.partial(colours, source, split, share, settings),
        )
        for share in settings.shares
    }
    transfer[COLOURS] = kept.json(
        folder / "colours" / "transfer.json",
        functools.partial(colours, other, other_split, 1.0, settings),
    )
    for name in (UNTRAINED, *settings.trained_first()):
        if name == UNTRAINED:
            own, make = folder / "untrained", functools.partial(untrained, settings, pixels, seed)
        else:
            own = folder / name
            make = functools.partial(train, name, pixels, codes, workdir, settings, seed, progress)
        encoder = functools.cache(make)  # read only if a result is missing

        def tuned(
            images: StudySet,
            parts: Split,
            share: float,
            encoder: Callable[[], Encoder] = encoder,
            name: str = name,
        ) -> dict[str, Any]:
            try:
                trained = encoder()
                note(
                    f"seed {seed}: {name}, fine-tuning on {share:.0%} of the labels of "
                    f"{images.name}",
                    progress,
                )
                return fine_tuned(trained, images, parts, share, settings, seed)
            except DivergedError as error:
                return {"diverged": str(error)}

        semi[name] = {
            share: kept.json(
                own / f"labels_{share:g}.json", functools.partial(tuned, source, split, share)
            )
            for share in settings.shares
        }
        transfer[name] = kept.json(
            own / "transfer.json", functools.partial(tuned, other, other_split, 1.0)
        )
    order = (UNTRAINED, COLOURS, *settings.methods)
    sizes = {
        "pre-training": len(split.training),
        **{f"labelled, {share:.0%}": len(rows) for share, rows in split.labelled.items()},
        "test": len(split.test),
        "transfer, training": len(other_split.training),
        "transfer, test": len(other_split.test),
        **({LEFT_OUT: len(split.left_out)} if len(split.left_out) else {}),
    }
    return ByolTracInSeedResults(
        seed,
        sizes,
        {name: semi[name] for name in order},
        {name: transfer[name] for name in order},
        {name: training_record(workdir, seed, name) for name in settings.methods},
    )


def gallery(
    source: StudySet,
    split: Split,
    workdir: str | os.PathLike[str],
    settings: StudySettings,
    seed: int,
) -> Gallery | None:
    """Finds nearest images in a batch of training images of a finished seed.

    Returns:
        By TracIn's encoder, or by the first trained method's; None if all trainings diverged.
    """
    folders = [
        pathlib.Path(workdir) / f"seed_{seed}" / name for name in ("byol_tracin", *settings.methods)
    ]
    trained = [
        folder
        for folder in folders
        if (folder / "encoder").exists() and folder.name in settings.methods
    ]
    if not trained:
        return None
    folder = trained[0]
    count = min(_GALLERY_BATCH, len(split.training))
    rows = np.random.default_rng(seed).choice(split.training, count, replace=False)

    def compare() -> dict[str, np.ndarray]:
        anchors, methods = nearest_in_batch(
            load_encoder(folder / "encoder"),
            source.pixels[rows],
            TracInPositive(settings.scored),
            anchors=settings.anchors,
            seed=seed,
        )
        return {
            "anchors": anchors,
            **{f"rows_{i}": method.rows for i, method in enumerate(methods)},
            **{f"scores_{i}": method.scores for i, method in enumerate(methods)},
        }

    stored = kept.arrays(folder / f"gallery_{settings.anchors}.npz", compare)
    names = ("TracIn", "feature similarity")
    methods = tuple(
        Neighbours(which, stored[f"rows_{i}"], stored[f"scores_{i}"])
        for i, which in enumerate(names)
    )
    return Gallery(rows, stored["anchors"], methods, folder.name)


def _training(source: StudySet, split: Split) -> tuple[object, np.ndarray]:
    return some_rows(source.pixels, split.training), source.codes()[split.training]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"
