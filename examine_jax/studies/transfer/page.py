"""The page of the transfer study: curves, tables, and a plain sentence for each encoder."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from examine_jax.labelled.sets import LabelledImages
from examine_jax.reporting.page import Illustration
from examine_jax.reporting.study_page import write_study_page
from examine_jax.reporting.tables import write_table
from examine_jax.studies.common.setting_rows import setting_rows
from examine_jax.studies.transfer import tables
from examine_jax.studies.transfer.charts import share_chart
from examine_jax.studies.transfer.results import (
    COLOURS,
    RANDOM,
    SELF,
    TrainingRecord,
    TransferResult,
    random_of,
)
from examine_jax.studies.transfer.rows import (
    METRICS,
    Row,
    comparison,
    find,
    gains,
    in_words,
    is_control,
    rows_of,
    verdict,
)
from examine_jax.studies.transfer.settings import TransferSettings

_CSV = ("seed", "encoder", "use", "share", "labels", *METRICS)


def write_page(
    workdir: str | os.PathLike[str],
    results: Sequence[TransferResult],
    trainings: Sequence[TrainingRecord],
    images: LabelledImages,
    settings: TransferSettings,
    *,
    shared: int = 0,
    device: str,
) -> pathlib.Path:
    """Writes transfer.html, the figure as PNG and the tables as CSV; returns the page's path.

    Args:
        workdir: an existing folder.
        results: of all seeds that are done, one at least.
        trainings: without labels.
        images: of the study.
        settings: of the study.
        shared: images of the source that are images of the target too.
        device: where the results were computed, for the reader.

    Raises:
        OSError: a file cannot be written (which).
    """
    workdir = pathlib.Path(workdir)
    rows = rows_of(results)
    adaptation = tables.adaptation_table(rows)
    made = {
        **{metric: tables.metric_table(rows, metric) for metric in METRICS},
        "verdicts": tables.verdict_table(rows),
        "against_scratch": tables.scratch_table(rows),
        **({} if adaptation is None else {"adaptation": adaptation}),
        "trainings": tables.training_table(trainings),
    }
    write_table(
        workdir / "results.csv",
        (*_CSV, *(f"{metric}_{end}" for metric in METRICS for end in ("low", "high"))),
        [_csv_row(one) for one in results if one.diverged is None],
    )
    figure = Illustration(
        "Against the labels",
        share_chart(_panels(rows)),
        f"Means over {len({one.seed for one in results})} seeds; bars are 95% intervals over the "
        "held-out images, their ends averaged over the seeds. In brackets: the number of labels.",
        "Lines of balanced accuracy and AUROC over the share of labels, a panel an encoder",
    )
    counts = np.bincount(images.labels, minlength=len(images.classes))
    return write_study_page(
        workdir / "transfer.html",
        {"curves": figure},
        made,
        title="An encoder from elsewhere, or one's own",
        headline=_headline(rows),
        summary={
            "images": f"{len(images.names):,}",
            "classes": str(len(images.classes)),
            "seeds": str(len({one.seed for one in results})),
            "device": device,
        },
        warnings=_warnings(results, images, settings, shared),
        settings={
            "classes": ", ".join(
                f"{name} ({count:,})" for name, count in zip(images.classes, counts)
            ),
            "groups": "none" if images.groups is None else f"{len(np.unique(images.groups)):,}",
            **setting_rows(settings),
        },
    )


def _csv_row(one: TransferResult) -> tuple[object, ...]:
    assert one.balanced_accuracy is not None
    assert one.auroc is not None
    both = one.balanced_accuracy, one.auroc
    return (
        *(one.seed, one.encoder, one.use, one.share, one.labels),
        *(interval.value for interval in both),
        *(end for interval in both for end in (interval.low, interval.high)),
    )


def _elsewhere(rows: Sequence[Row]) -> list[str]:
    """Returns the names of the encoders from elsewhere."""
    return [
        name
        for name in dict.fromkeys(row.encoder for row in rows)
        if name not in (SELF, COLOURS) and not name.startswith(RANDOM)
    ]


def _panels(rows: Sequence[Row]) -> dict[str, list[Row]]:
    shared = (COLOURS, RANDOM, SELF)
    return {
        name: [row for row in rows if row.encoder in (*shared, random_of(name), name)]
        for name in _elsewhere(rows)
    } or {SELF: list(rows)}


def _headline(rows: Sequence[Row]) -> str:
    """Says what is best at each share, and where adaptation made an encoder worse."""
    notes = []

    def best(among: Sequence[Row]) -> Row:
        return max(among, key=lambda row: float(np.mean(row.balanced_accuracy)))

    for share in tables.shares_of(rows):
        at = [row for row in rows if row.share == share]
        text = f"With {tables.share_words(rows, share)} of the labels"
        scratch = [row for row in at if (row.encoder, row.use) in tables.SCRATCH]
        elsewhere = [row for row in at if row.encoder in _elsewhere(rows)]
        if scratch and elsewhere:
            mine, theirs = best(scratch), best(elsewhere)
            text += (
                f" {theirs.name} reaches a balanced accuracy of "
                f"{np.mean(theirs.balanced_accuracy):.3f}, {mine.name} "
                f"{np.mean(mine.balanced_accuracy):.3f}: {comparison(gains(theirs, mine))}"
            )
            doubt = verdict(theirs, rows)
            text += f" ({doubt})" if doubt == "not learned" else ""
        control = best([row for row in at if is_control(row)])
        text += f"; the best control is {control.name}, {np.mean(control.balanced_accuracy):.3f}"
        notes.append(text)
    for encoder in _elsewhere(rows):
        worse = [
            f"{row.share * 100:.4g}%"
            for row in rows
            if row.encoder == encoder
            and row.use == "adapted"
            and (other := find(rows, encoder, "frozen", row.share)) is not None
            and np.mean(gains(row, other)) < 0
        ]
        if worse:
            notes.append(
                f"Adaptation made {encoder} worse, on average over the seeds, at {', '.join(worse)}"
            )
    return ". ".join(notes) + "."


def _warnings(
    results: Sequence[TransferResult],
    images: LabelledImages,
    settings: TransferSettings,
    shared: int,
) -> tuple[str, ...]:
    notes = []
    done = len({one.seed for one in results})
    if done < len(settings.seeds):
        notes.append(f"{done} of {len(settings.seeds)} seeds are done; the others are to come.")
    if done < 2:
        notes.append("One seed has no standard error: whether an encoder learned is not judged.")
    for one in results:
        if one.diverged is not None:
            notes.append(
                f"Seed {one.seed}, {in_words(one.encoder, one.use)}, {one.labels} labels: diverged "
                f"and is in no table ({one.diverged})."
            )
    if images.groups is None:
        notes.append(
            "No groups are known; images of one patient or slide may lie on both sides of the "
            "split, which flatters every figure."
        )
    if images.skipped:
        notes.append(f"{images.skipped} files could not be read and were left out.")
    if shared:
        notes.append(
            f"{shared} images of the source are images of the target too; the source's encoder has "
            "seen some of the held-out images, without labels."
        )
    least = len(images.classes)
    raised = sorted({one.share for one in results if one.labels == least})
    if raised:
        notes.append(
            f"At {', '.join(f'{share * 100:.4g}%' for share in raised)} of the labels there are "
            f"{least}: one a class, which is the least."
        )
    weak = [
        row.name
        for row in rows_of(results)
        if not is_control(row)
        and row.share == settings.shares[-1]
        and verdict(row, rows_of(results)) == "not learned"
    ]
    if weak:
        notes.append(
            f"Not learned at {settings.shares[-1] * 100:.4g}% of the labels: {', '.join(weak)}. "
            "Their training was too short, or teaches nothing here."
        )
    return tuple(notes)
