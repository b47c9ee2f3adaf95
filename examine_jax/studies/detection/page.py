"""The page of the detection study: its tables and figures beside the paper's."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from examine_jax.detection.agreement import PairAgreement
from examine_jax.reporting.charts.boxes import boxes_on_images
from examine_jax.reporting.page import PATIENTS_PIXELS, Illustration
from examine_jax.reporting.study_page import write_study_page
from examine_jax.reporting.tables import write_table
from examine_jax.studies.common.setting_rows import setting_rows
from examine_jax.studies.detection import published
from examine_jax.studies.detection.charts import balance_chart, class_chart, share_chart
from examine_jax.studies.detection.results import RANDOM, WITH, WITHOUT, RowResult
from examine_jax.studies.detection.sets import Split, StudyImages
from examine_jax.studies.detection.settings import DetectionStudySettings
from examine_jax.studies.detection.tables import (
    MAIN,
    MORE,
    Balance,
    balance_table,
    by_cell,
    by_class_table,
    class_values,
    further,
    gain_text,
    gains,
    paired,
    table_1,
    table_2,
    values_of,
)

_SHOWN = 4  # images of figure 1


def write_page(
    workdir: str | os.PathLike[str],
    results: Sequence[RowResult],
    images: StudyImages,
    splits: Mapping[int, Split],
    agreement: Sequence[PairAgreement],
    settings: DetectionStudySettings,
    *,
    balance: Balance,
    start: str | None,
    device: str,
) -> pathlib.Path:
    """Writes detection.html, the figures as PNG and the tables as CSV; returns the page's path.

    Args:
        workdir: an existing folder.
        results: of all rows that are done, one at least.
        images: of the study.
        splits: by seed.
        agreement: of the readers on the last seed's test images; () where they are not known.
        settings: of the study.
        balance: by class, the training images before and after repetition.
        start: what all detectors start from, or None.
        device: where the results were computed, for the reader.

    Raises:
        OSError: a file cannot be written (which).
    """
    workdir = pathlib.Path(workdir)
    done = [one for one in results if one.diverged is None]
    tables = {
        "table_1": table_1(done),
        "self_supervision": gains(done),
        "table_2": table_2(done, agreement),
        "figure_3": balance_table(balance),
        "figure_4": by_class_table(done, images.boxes.classes),
        "further": further(done),
    }
    write_table(
        workdir / "results.csv",
        ("seed", "share", "row", "labelled", *MAIN, *MORE, "ap_low", "ap_high", "diverged"),
        [
            (
                one.seed,
                one.share,
                one.row,
                one.labelled,
                *(
                    "" if one.figures.get(name) is None else one.figures[name]
                    for name in (*MAIN, *MORE, "ap_low", "ap_high")
                ),
                one.diverged or "",
            )
            for one in results
        ],
    )
    boxes = images.boxes
    first = splits[results[0].seed]
    return write_study_page(
        workdir / "detection.html",
        _figures(done, images, balance, first),
        tables,
        title="How many boxes does self-supervision spare?",
        headline=_headline(done),
        summary={
            "images": f"{len(boxes.images):,}",
            "boxes": f"{len(boxes):,}",
            "classes": str(len(boxes.classes)),
            "training, validation, test": ", ".join(
                str(len(part)) for part in (first.training, first.validation, first.test)
            ),
            "seeds": str(len({one.seed for one in results})),
            "device": device,
        },
        warnings=_warnings(results, images, settings, start),
        settings={
            "start": start or "random weights",
            "readers": ", ".join(images.readers.readers) or "one, or not known",
            "groups": "none" if images.groups is None else f"{len(np.unique(images.groups)):,}",
            **setting_rows(settings),
        },
        privacy=PATIENTS_PIXELS,
    )


def _figures(
    results: Sequence[RowResult], images: StudyImages, balance: Balance, split: Split
) -> dict[str, Illustration]:
    figures: dict[str, Illustration] = {}
    shown = _most_drawn(images, split)
    pixels = images.images.pixels[shown]
    if images.readers.reader is not None:
        figures["figure_1_readers"] = Illustration(
            "Figure 1: the boxes of all readers",
            boxes_on_images(pixels, images.readers.select(shown)),
            "Training images with the most boxes; a colour a class.",
            "Images with the boxes that each reader drew",
        )
    figures["figure_1_fused"] = Illustration(
        "Figure 1: fused" if images.readers.reader is not None else "Boxes",
        boxes_on_images(pixels, images.boxes.select(shown)),
        "The same images with the boxes that detectors are trained on.",
        "Images with the boxes for training",
    )
    if not results:
        return figures
    cells = by_cell(results)
    like_the_papers = set(published.IMAGES_BY_CLASS) <= set(images.boxes.classes)
    for name, title in (("ap", "mAP"), ("ap50", "mAP50")):
        rows: dict[str, tuple[list[float], list[list[float]]]] = {}
        for share, row, of in cells:
            values = values_of(of, name)
            if values:
                shares, heights = rows.setdefault(row, ([], []))
                shares.append(share)
                heights.append(values)
        rows = {row: rows[row] for row in (WITH, WITHOUT, RANDOM) if row in rows}
        column = ("ap", "ap50").index(name)
        paper = {share: row[column] for share, row in published.TABLE_1.items()}
        figures[f"labels_{name}"] = Illustration(
            f"{title} against labels",
            share_chart(rows, paper if like_the_papers else {}, title),
            "Means over the seeds; a dot a seed.",
            f"Lines of {title} over the share of labelled images",
        )
    figures["figure_3"] = Illustration(
        "Figure 3: training images of each class",
        balance_chart(balance, published.IMAGES_BY_CLASS if like_the_papers else {}),
        "As they are and with repetitions; stars, if any, are the paper's.",
        "Bars of training images by class",
    )
    for row in (WITH, WITHOUT, RANDOM):
        own = [(share, of) for share, name, of in cells if name == row]
        if not own:
            continue
        by_class = {
            name: np.array(
                [np.mean(values) if (values := class_values(of, name)) else np.nan for _, of in own]
            )
            for name in images.boxes.classes
        }
        figures[f"figure_4_{row.replace(' ', '_')}"] = Illustration(
            f"Figure 4: {row}",
            class_chart(
                [share for share, _ in own],
                by_class,
                [np.mean(values_of(of, "ap50") or [np.nan]).item() for _, of in own],
            ),
            "Average precision of each class, mean over the seeds; the mean AP50 is dashed.",
            "Lines of average precision by class over the share of labelled images",
        )
    return figures


def _most_drawn(images: StudyImages, split: Split) -> list[int]:
    counts = images.readers.counts()[split.training]
    order = np.argsort(-counts, kind="stable")[:_SHOWN]
    return [int(row) for row in split.training[order]]


def _headline(results: Sequence[RowResult]) -> str:
    cells = {(share, row): of for share, row, of in by_cell(results)}
    shares = sorted({share for share, row in cells if row == WITH})
    if not shares:
        return "Detectors by the number of labelled images, without self-supervision."
    texts = []
    for share in shares:
        other = WITHOUT if (share, WITHOUT) in cells else RANDOM
        if (share, other) in cells:
            pairs = paired(cells[share, WITH], cells[share, other], "ap")
            texts.append(f"{share:.0%} labelled {gain_text(pairs)}")
    return (
        f"mAP that self-supervision adds on the same labelled images: {'; '.join(texts)}. "
        f"{_spared(cells, shares)}"
    )


def _spared(cells: Mapping[tuple[float, str], Sequence[RowResult]], shares: list[float]) -> str:
    """Whether fewer labels with self-supervision are as good as more without it."""
    spared = []
    for share in shares:
        for larger, row in cells:
            if row == WITH or larger <= share:
                continue
            theirs, ours = values_of(cells[larger, row], "ap"), values_of(cells[share, WITH], "ap")
            if theirs and ours and np.mean(ours) >= np.mean(theirs):
                spared.append(f"{share:.0%} with it reach {larger:.0%} with {row}")
    if spared:
        return f"By the mean mAP, {'; '.join(spared)}."
    return "No smaller share with it reaches the mean mAP of a larger one without it."


def _warnings(
    results: Sequence[RowResult],
    images: StudyImages,
    settings: DetectionStudySettings,
    start: str | None,
) -> tuple[str, ...]:
    notes = []
    done = len({one.seed for one in results})
    if done < len(settings.seeds):
        notes.append(f"{done} of {len(settings.seeds)} seeds are done; the others are to come.")
    if len(settings.seeds) < 3:
        notes.append("Fewer than three seeds tell little: runs differ by themselves.")
    if settings.preset == "paper" and start is None:
        notes.append(
            "The paper starts from a detector that was trained on COCO; here detectors start from "
            "random weights. Give --init=FILE."
        )
    if settings.steps is None:
        notes.append(
            "Detectors train for a number of epochs, so that smaller shares train for fewer steps; "
            "--steps makes them equal."
        )
    if not settings.transfer:
        notes.append(
            "Pre-trained weights do not reach the detector here, as in the released code, so that "
            "no pre-training is run. (That code also contrasts the channels of one image.)"
        )
    if images.groups is None:
        notes.append(
            "No groups are known: images of one patient may lie on both sides of the split."
        )
    for one in results:
        if one.diverged is not None:
            notes.append(f"Seed {one.seed}, {one.share:.0%}, {one.row}: {one.diverged}")
    lost = sum(not problem.kept for problem in images.problems)
    if lost:
        notes.append(f"{lost} boxes or images could not be used: see skipped.csv.")
    return tuple(notes)
