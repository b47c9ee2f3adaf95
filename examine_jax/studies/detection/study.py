"""The detection study: pre-train, fine-tune, detect; results are kept and never computed twice."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.detection.agreement import PairAgreement, reader_agreement
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.repeat_factors import images_by_class, repeated_images_by_class
from examine_jax.reporting.tables import write_skipped
from examine_jax.studies.common import kept
from examine_jax.studies.common.notes import note, note_other_seeds
from examine_jax.studies.common.training_length import trained_once
from examine_jax.studies.detection.fine_tuning import (
    Start,
    Weights,
    find_start,
    fine_tune,
    with_encoder,
)
from examine_jax.studies.detection.page import write_page
from examine_jax.studies.detection.results import RANDOM, WITH, WITHOUT, RowResult
from examine_jax.studies.detection.self_supervision import pretrain_encoder
from examine_jax.studies.detection.sets import (
    DetectionSource,
    Split,
    StudyImages,
    divide,
    read_images,
)
from examine_jax.studies.detection.settings import DetectionStudySettings


def run(
    settings: DetectionStudySettings,
    source: DetectionSource,
    workdir: str | os.PathLike[str],
    *,
    encoder: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    device: str | None = None,
    progress: bool = True,
) -> tuple[RowResult, ...]:
    """Runs the study: reads the images, runs all seeds, writes the page after each seed.

    A run that was killed continues when it is started again. Seeds and shares may be added later in
    the same folder: they change no other result.

    Args:
        settings: of the study (`detection_preset`).
        source: the images and the boxes.
        workdir: everything is written here; the page is detection.html.
        encoder: a trained ResNet that all detectors start from (`load_encoder`).
        init: a torchvision fasterrcnn_resnet50_fpn state that they start from, .safetensors.
        device: what the page calls the device.
        progress: show on stderr what is done and how far it is.

    Returns:
        The results of every row, in order.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    start = find_start(encoder, init)
    images = read_images(source, settings, progress=progress)
    splits = {seed: divide(images, settings, seed) for seed in settings.seeds}
    _check_freezing(settings, images, start)
    check_folder(workdir, settings, images, start)
    note_other_seeds(workdir, settings.seeds, progress)
    write_skipped(
        workdir / "skipped.csv",
        [*images.images.skipped, *(problem.skipped() for problem in images.problems)],
    )
    boxes, readers = images.boxes, images.readers
    note(
        f"{len(boxes)} boxes of {len(boxes.classes)} classes on {len(boxes.images)} images"
        + (f", from {len(readers)} of {len(readers.readers)} readers" if readers.readers else ""),
        progress,
    )
    first = splits[settings.seeds[0]]
    for name, before, after in balance(images, first, settings):
        note(f"  {name}: on {before} training images, {after:.0f} with repetitions", progress)
    fine_tunings, pretrainings = missing(workdir, settings, start)
    note(
        f"{fine_tunings} fine-tunings and {pretrainings} pre-trainings to do; what is done is kept",
        progress,
    )
    results: list[RowResult] = []
    for seed, split in splits.items():
        for one in run_seed(images, split, workdir, settings, seed, start, progress=progress):
            results.append(one)
            figure = one.diverged or f"AP {_shown(one.figures['ap'])}"
            note(
                f"seed {seed}, {one.share:.0%} labelled ({one.labelled}), {one.row}: {figure}",
                progress,
            )
        agreement = agreement_of(images, split, workdir, seed)
        page = write_page(
            workdir,
            results,
            images,
            splits,
            agreement,
            settings,
            balance=balance(images, first, settings),
            start=None if start is None else start.name,
            device=device or jax.default_backend(),
        )
        note(f"seed {seed} is done; open {page}", progress)
    return tuple(results)


def rows_of(settings: DetectionStudySettings, share: float, start: Start | None) -> tuple[str, ...]:
    """The rows of a labelled share, in order.

    The whole share leaves no image for pre-training. Without a start, "the same start alone" is
    "random weights".
    """
    rows = [WITHOUT] if start is not None else [RANDOM]
    if share < 1 and settings.transfer:
        rows.insert(0, WITH)
    if start is not None and settings.random_row:
        rows.append(RANDOM)
    return tuple(rows)


def folder_of(workdir: pathlib.Path, seed: int, share: float, row: str) -> pathlib.Path:
    """The folder of one row."""
    return workdir / f"seed_{seed}" / f"labelled_{share:g}" / row.replace(" ", "_")


def missing(
    workdir: pathlib.Path, settings: DetectionStudySettings, start: Start | None
) -> tuple[int, int]:
    """How many fine-tunings and how many pre-trainings are not done yet."""
    rows = [
        (folder_of(workdir, seed, share, row), row)
        for seed in settings.seeds
        for share in settings.shares
        for row in rows_of(settings, share, start)
    ]
    left = [(folder, row) for folder, row in rows if not (folder / "training.json").exists()]
    before = [
        folder
        for folder, row in left
        if row == WITH and not (folder / "pretraining" / "training.json").exists()
    ]
    return len(left), len(before)


def run_seed(
    images: StudyImages,
    split: Split,
    workdir: pathlib.Path,
    settings: DetectionStudySettings,
    seed: int,
    start: Start | None,
    *,
    progress: bool,
) -> Iterator[RowResult]:
    """Yields the results of a seed: by share, and for each share by row."""
    # Anchors come from the smallest share: it lies in all others, so that no row sees boxes that
    # are not labelled, and all shares have one network.
    least = images.boxes.select(split.labelled(settings.shares[-1]))
    detector = settings.detector(least, fit_anchors=start is None or start.init is None)
    if start is not None:
        detector = start.fitted(detector)
    for share in settings.shares:
        for row in rows_of(settings, share, start):
            folder = folder_of(workdir, seed, share, row)
            record = trained_once(
                folder,
                functools.partial(
                    _train_row,
                    folder,
                    row,
                    detector,
                    images,
                    split,
                    share,
                    settings,
                    seed,
                    start,
                    progress,
                ),
            )
            figures = record.pop("figures", {})
            yield RowResult(
                seed,
                share,
                row,
                len(split.labelled(share)),
                figures,
                record,
                folder,
                str(record["diverged"]) if "diverged" in record else None,
            )


def _train_row(
    folder: pathlib.Path,
    row: str,
    detector: FasterRCNN,
    images: StudyImages,
    split: Split,
    share: float,
    settings: DetectionStudySettings,
    seed: int,
    start: Start | None,
    progress: bool,
) -> dict[str, Any]:
    """Trains and measures one row. The weights to start from are made only here."""
    weights: Weights | None = None
    pretraining: dict[str, Any] = {}
    if start is not None and row != RANDOM:
        weights = start.weights(detector, seed)
    if row == WITH:
        own = folder / "pretraining"
        pretraining = trained_once(
            own,
            lambda: pretrain_encoder(
                own,
                images.images.pixels[split.unlabelled(share)],
                settings,
                detector,
                seed,
                None if start is None else start.encoder_weights(detector, seed),
                progress,
            ),
        )
        if "diverged" in pretraining:
            return {"diverged": f"pre-training: {pretraining['diverged']}"}
        fresh = detector.init(jax.random.key(seed), {}) if weights is None else weights
        weights = with_encoder(detector, fresh, own / "encoder")
    record = fine_tune(folder, detector, images, split, share, settings, seed, weights, progress)
    return {**record, "pretraining": pretraining}


def balance(
    images: StudyImages, split: Split, settings: DetectionStudySettings
) -> tuple[tuple[str, int, float], ...]:
    """By class: the training images with a box of it, as they are and with repetitions."""
    boxes = images.boxes.select(split.training)
    counts = images_by_class(boxes)
    repeat = settings.recipe.repeat
    repeated = counts.astype(float)
    if repeat is not None:
        repeated = repeated_images_by_class(boxes, repeat.of(boxes))
    return tuple(zip(boxes.classes, counts.tolist(), repeated.tolist()))


def agreement_of(
    images: StudyImages, split: Split, workdir: pathlib.Path, seed: int
) -> tuple[PairAgreement, ...]:
    """The readers' agreement on the test images, kept; () where readers are not known."""
    if images.readers.reader is None or len(images.readers.readers) < 2:
        return ()

    def compute() -> dict[str, Any]:
        found = reader_agreement(images.readers.select(split.test), seed=seed)
        return {"pairs": [dataclasses.asdict(pair) for pair in found]}

    stored = kept.json(workdir / f"seed_{seed}" / "agreement.json", compute)
    return tuple(PairAgreement(**pair) for pair in stored["pairs"])


def check_folder(
    workdir: pathlib.Path,
    settings: DetectionStudySettings,
    images: StudyImages,
    start: Start | None,
) -> None:
    """Writes what the study's results depend on to its folder, or compares it.

    Seeds are not compared, nor shares but the least one, which gives the anchors: they may be added
    later.

    Raises:
        ValueError: the folder holds another study (which settings differ).
        OSError: it cannot be written.
    """
    compared = dataclasses.replace(settings, seeds=(0,), shares=settings.shares[-1:])
    check_or_write_config(
        workdir / "config.json",
        {
            "settings": to_plain(compared),
            "images": images.digest(),
            "start": None if start is None else start.digest(),
        },
    )


def _check_freezing(
    settings: DetectionStudySettings, images: StudyImages, start: Start | None
) -> None:
    """Refuses rows that would freeze random weights, before anything is computed."""
    if not settings.template(images.boxes.classes).freezes:
        return
    if start is None or settings.random_row:
        raise ValueError(
            f"the detector of {settings.preset!r} keeps its first weights, which must be trained "
            "ones: give --init=FILE or --encoder=FOLDER, and leave out the row from random weights "
            "(--random_row=false)"
        )


def _shown(value: float | None) -> str:
    return "unknown, as there is no truth" if value is None else f"{value:.3f}"
