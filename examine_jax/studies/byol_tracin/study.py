"""BYOL-TracIn's study, a seed after the other; what is done is kept and never done again."""

import dataclasses
import functools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.evaluation.classifier_training import DivergedError
from examine_jax.pretraining.extra_positives import TracInPositive
from examine_jax.reporting.charts.neighbour_gallery import Neighbours
from examine_jax.studies.byol_tracin.downstream import colours, fine_tuned
from examine_jax.studies.byol_tracin.gallery import likes
from examine_jax.studies.byol_tracin.sets import Split, StudySet, divide_both, some_rows
from examine_jax.studies.byol_tracin.settings import COLOURS, UNTRAINED, StudySettings
from examine_jax.studies.byol_tracin.training import byol_cost, check_methods, resolve, train, untrained
from examine_jax.studies.common.kept import arrays, record
from examine_jax.studies.examine.encoders import training_record

_GALLERY_BATCH = 64
LEFT_OUT = "left out, being test images after the transfer"


@dataclasses.dataclass(frozen=True, eq=False)
class SeedFindings:
    """What one repetition found.

    Attributes:
        seed: of all of it.
        sizes: images of each part.
        semi_supervised: by row (controls first, then methods) and share of the labels: figures by name, or "diverged": how.
        transfer: by row: the same.
        trainings: by method: steps, final_loss, seconds, cpu_seconds and, where there are extra positives, the share of images that have
            one, that of right ones, and what chance would give; means over the last quarter of the training. Or "diverged": how.
    """

    seed: int
    sizes: dict[str, int]
    semi_supervised: dict[str, dict[float, dict[str, Any]]]
    transfer: dict[str, dict[str, Any]]
    trainings: dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """The batch's images and classes, the anchors among them and their neighbours by two methods."""

    rows: np.ndarray
    anchors: np.ndarray
    methods: tuple[Neighbours, ...]
    encoder: str


def claim_workdir(
    workdir: str | os.PathLike[str], source: StudySet, other: StudySet, settings: StudySettings
) -> list[tuple[Split, Split]]:
    """Makes the folder this study's own, and divides both sets for every seed: what does not fit shows before anything is trained.

    Seeds and methods may be added later on: they change no other result.

    Raises:
        ValueError: the folder holds another study (which settings differ); sets that cannot be divided; a scorer that does not fit.
        OSError: it cannot be written.
    """
    scorer = check_methods(settings)
    splits = [divide_both(source, other, settings, seed) for seed in settings.seeds]
    same = dataclasses.replace(settings, seeds=(0,), methods=("byol",), anchors=1, scorer=None)
    sets = {"source": source.fingerprint(), "transfer": other.fingerprint()}
    check_or_write_config(
        pathlib.Path(workdir) / "config.json", {"sets": sets, "settings": to_plain(same), "scorer": scorer}
    )
    return splits


def expected_time(
    workdir: str | os.PathLike[str], source: StudySet, splits: list[tuple[Split, Split]], settings: StudySettings
) -> str:
    """What the whole study will take, in one sentence; a step of plain BYOL is timed for it."""
    workdir = pathlib.Path(workdir)
    split, other = splits[0]
    pixels, codes = _training(source, split)
    cost = byol_cost(pixels, workdir, settings)
    name = settings.trained_first()[0]
    _, training = resolve(name, pixels, codes, workdir, settings, settings.seeds[0])
    count = training.phases[0].steps or 1
    pretraining = cost * count
    # Of plain BYOL's step, as measured with `small`: a scorer's share, and an image's in a fine-tuning, which has one view and no target.
    trained = sum({"byol_fs_pretrained": 1.1, "byol_tracin_pretrained": 1.2}.get(name, 1) for name in settings.methods)
    labelled = [len(rows) for rows in (*split.labelled.values(), other.training)]
    tuning = cost / training.batch_size / 4 * sum(settings.tuning(rows).epochs * rows for rows in labelled)
    rows = len(settings.methods) + 1
    whole = len(settings.seeds) * (trained * pretraining + rows * tuning)
    return (
        f"{len(settings.seeds)} seeds x {len(settings.methods)} pre-trainings of {_minutes(pretraining)} or more "
        f"({count:,} steps of {training.batch_size} images), and {rows} rows of fine-tuning of {_minutes(tuning)} a seed: "
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
) -> SeedFindings:
    """One repetition, in workdir/seed_S; a killed one goes on where it was.

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
        share: record(
            folder / "colours" / f"{share:g}.json", functools.partial(colours, source, split, share, settings)
        )
        for share in settings.shares
    }
    transfer[COLOURS] = record(
        folder / "colours" / "transfer.json", functools.partial(colours, other, other_split, 1.0, settings)
    )
    for name in (UNTRAINED, *settings.trained_first()):
        if name == UNTRAINED:
            kept, made = folder / "untrained", functools.partial(untrained, settings, pixels, seed)
        else:
            kept = folder / name
            made = functools.partial(train, name, pixels, codes, workdir, settings, seed, progress)
        encoder = functools.cache(made)  # read only where something is left to do

        def tuned(
            images: StudySet, parts: Split, share: float, encoder: Callable[[], Encoder] = encoder, name: str = name
        ) -> dict[str, Any]:
            try:
                there = encoder()
                _say(f"seed {seed}: {name}, fine-tuning on {share:.0%} of the labels of {images.name}", progress)
                return fine_tuned(there, images, parts, share, settings, seed)
            except DivergedError as error:
                return {"diverged": str(error)}

        semi[name] = {
            share: record(kept / f"labels_{share:g}.json", functools.partial(tuned, source, split, share))
            for share in settings.shares
        }
        transfer[name] = record(kept / "transfer.json", functools.partial(tuned, other, other_split, 1.0))
    order = (UNTRAINED, COLOURS, *settings.methods)
    sizes = {
        "pre-training": len(split.training),
        **{f"labelled, {share:.0%}": len(rows) for share, rows in split.labelled.items()},
        "test": len(split.test),
        "transfer, training": len(other_split.training),
        "transfer, test": len(other_split.test),
        **({LEFT_OUT: len(split.left_out)} if len(split.left_out) else {}),
    }
    return SeedFindings(
        seed,
        sizes,
        {name: semi[name] for name in order},
        {name: transfer[name] for name in order},
        {name: training_record(workdir, seed, name) for name in settings.methods},
    )


def gallery(
    source: StudySet, split: Split, workdir: str | os.PathLike[str], settings: StudySettings, seed: int
) -> Gallery | None:
    """Of a batch of training images, of a seed that is done: by TracIn's encoder where there is one, else the first method's; None where
    all diverged."""
    folders = [pathlib.Path(workdir) / f"seed_{seed}" / name for name in ("byol_tracin", *settings.methods)]
    trained = [folder for folder in folders if (folder / "encoder").exists() and folder.name in settings.methods]
    if not trained:
        return None
    folder = trained[0]
    count = min(_GALLERY_BATCH, len(split.training))
    rows = np.random.default_rng(seed).choice(split.training, count, replace=False)

    def found() -> dict[str, np.ndarray]:
        anchors, methods = likes(
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

    kept = arrays(folder / f"gallery_{settings.anchors}.npz", found)
    names = ("TracIn", "feature similarity")
    methods = tuple(Neighbours(which, kept[f"rows_{i}"], kept[f"scores_{i}"]) for i, which in enumerate(names))
    return Gallery(rows, kept["anchors"], methods, folder.name)


def _training(source: StudySet, split: Split) -> tuple[object, np.ndarray]:
    return some_rows(source.pixels, split.training), source.codes()[split.training]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _say(text: str, progress: bool) -> None:
    if progress:
        print(text, file=sys.stderr)
