"""The page of BYOL-TracIn's study: all finished seeds in figures and tables, and the poster's."""

import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from examine_jax.reporting.charts.method_comparison import method_dot_plot
from examine_jax.reporting.charts.neighbour_galleries import neighbour_gallery
from examine_jax.reporting.charts.running_times import duration_text
from examine_jax.reporting.page import Illustration, Table
from examine_jax.reporting.study_page import write_study_page
from examine_jax.studies.byol_tracin import published
from examine_jax.studies.byol_tracin.downstream import METRICS
from examine_jax.studies.byol_tracin.results import LEFT_OUT, ByolTracInSeedResults, Gallery
from examine_jax.studies.byol_tracin.sets import StudySet
from examine_jax.studies.byol_tracin.settings import COLOURS, UNTRAINED, StudySettings
from examine_jax.studies.common.setting_rows import setting_rows
from examine_jax.studies.common.verdict import learned, mean_sd


def cell(values: Sequence[float], untrained: Sequence[float] | None = None) -> str:
    """Returns a cell: mean and standard deviation over seeds, marked if the method has not learned.

    Args:
        values: one a seed; NaN for a seed that diverged, which leaves no mean.
        untrained: random initialisation's of the same seeds; None: the row is not judged.
    """
    diverged = int(np.isnan(values).sum())
    if diverged:
        return f"diverged in {diverged} of {len(values)} seeds"
    text = mean_sd(values)
    return (
        f"not learned ({text})"
        if untrained is not None and learned(values, untrained) is False
        else text
    )


def write_page(
    workdir: str | os.PathLike[str],
    results: Sequence[ByolTracInSeedResults],
    source: StudySet,
    other: StudySet,
    settings: StudySettings,
    shown: Gallery | None,
    *,
    device: str,
) -> pathlib.Path:
    """Writes byol_tracin.html, the figures as PNG and the tables as CSV; returns the page's path.

    Args:
        workdir: an existing folder.
        results: of each seed, one at least.
        source: the set to pre-train and to fine-tune on.
        other: the set to transfer to.
        settings: of the study.
        shown: the gallery, if there is one.
        device: where the results were computed, for the reader.

    Raises:
        OSError: a file cannot be written (which).
    """
    workdir = pathlib.Path(workdir)
    return write_study_page(
        workdir / "byol_tracin.html",
        _illustrations(results, source, other, settings, shown),
        _tables(results, source, other, settings),
        title="BYOL-TracIn's study",
        headline=_headline(results, source, other, settings),
        summary={
            "seeds": str(len(results)),
            **{name: f"{count:,}" for name, count in results[0].sizes.items()},
            "device": device,
        },
        warnings=_warnings(results, source, other),
        settings=_settings(settings, source, other),
    )


def main_metric(images: StudySet) -> str:
    """Returns "auc" if images have several labels or there are two classes, else "bma"."""
    return "auc" if images.multilabel or len(images.classes) == 2 else "bma"


def _semi(
    results: Sequence[ByolTracInSeedResults], name: str, share: float, metric: str
) -> list[float]:
    return [one.semi_supervised[name][share].get(metric, math.nan) for one in results]


def _transfer(results: Sequence[ByolTracInSeedResults], name: str, metric: str) -> list[float]:
    return [one.transfer[name].get(metric, math.nan) for one in results]


def _illustrations(
    results: Sequence[ByolTracInSeedResults],
    source: StudySet,
    other: StudySet,
    settings: StudySettings,
    shown: Gallery | None,
) -> dict[str, Illustration]:
    order = [COLOURS, UNTRAINED, *settings.methods]
    metric = main_metric(source)
    semi = {
        f"{share:.0%} of the labels": {name: _semi(results, name, share, metric) for name in order}
        for share in settings.shares
    }
    transfer = {
        METRICS[key]: {name: _transfer(results, name, key) for name in order}
        for key in METRICS
        if key in results[0].transfer[COLOURS]
    }
    about = (
        "One dot per seed, a bar at the mean. The dashed line is the mean of random initialisation."
    )
    right = {name: shares for name in settings.methods if (shares := _extra(results, name, _RIGHT))}
    extra = {}
    if right:
        first = next(iter(right))
        extra["extra_positives"] = Illustration(
            "Right extra positives",
            method_dot_plot(
                {"pre-training": {_CHANCE_ROW: _extra(results, first, _CHANCE), **right}},
                _CHANCE_ROW,
                "share",
            ),
            "The share of extra positives that are of the image's own class, which is the paper's "
            "explanation of its gains. One dot per "
            "seed, a bar at the mean. The dashed line is the share when the extra positive is "
            "drawn from the batch.",
            "Dots by method",
        )
    return {
        "semi_supervised": Illustration(
            f"Fine-tuned on a share of {source.name}'s labels",
            method_dot_plot(semi, UNTRAINED, METRICS[metric]),
            about,
            "Dots by method",
        ),
        "transfer": Illustration(
            f"Transferred to {other.name}",
            method_dot_plot(transfer, UNTRAINED, "figure"),
            about,
            "Dots by method",
        ),
        **extra,
        **({} if shown is None else {"likes": _nearest(source, shown, results[0].seed)}),
    }


def _nearest(source: StudySet, shown: Gallery, seed: int) -> Illustration:
    texts = (
        [
            "|".join(np.array(source.classes)[row.astype(bool)]) or "none"
            for row in source.labels[shown.rows]
        ]
        if source.multilabel
        else [source.classes[code] for code in source.labels[shown.rows]]
    )
    return Illustration(
        "Images of a mini-batch and their nearest images",
        neighbour_gallery(source.pixels[shown.rows], shown.anchors, shown.methods, texts),
        f"The first images of a random batch of training images of seed {seed}, compared by the "
        f"encoder of {shown.encoder}. Under each "
        "image are its label and its score: TracIn at the predictor's last layer without the "
        "learning rate, or the cosine.",
        "Anchor images, each with its top three by TracIn and by feature similarity",
    )


def _tables(
    results: Sequence[ByolTracInSeedResults],
    source: StudySet,
    other: StudySet,
    settings: StudySettings,
) -> dict[str, Table]:
    order = (COLOURS, UNTRAINED, *settings.methods)
    tables = {}
    note = (
        "Mean ± standard deviation over the seeds, on test images that no training saw. Not "
        "learned: the mean difference from random "
        "initialisation, seed by seed, is not above two standard errors."
    )
    for key, text in METRICS.items():
        if key not in results[0].semi_supervised[COLOURS][settings.shares[0]]:
            continue
        rows = []
        for name in order:
            columns = [
                cell(
                    _semi(results, name, share, key),
                    _semi(results, UNTRAINED, share, key) if name in settings.methods else None,
                )
                for share in settings.shares
            ]
            rows.append((name, *columns))
        header = ("method", *(f"{share:.0%} of the labels" for share in settings.shares))
        tables[f"semi_supervised_{key}"] = Table(
            f"{text} on {source.name}, semi-supervised", header, tuple(rows), note
        )
    keys = [key for key in METRICS if key in results[0].transfer[COLOURS]]
    rows = []
    for name in order:
        columns = [
            cell(
                _transfer(results, name, key),
                _transfer(results, UNTRAINED, key) if name in settings.methods else None,
            )
            for key in keys
        ]
        rows.append((name, *columns))
    tables["transfer"] = Table(
        f"Transfer to {other.name}", ("method", *(METRICS[key] for key in keys)), tuple(rows), note
    )
    chosen = [name for name in settings.methods if _extra(results, name, "extra_positives")]
    if chosen:
        tables["extra_positives"] = Table(
            "Right extra positives",
            ("method", "images that have one", "of the right class", "by chance"),
            tuple((name, *(_mean(results, name, key) for key in _EXTRA)) for name in chosen),
            "The share of the extra positives' weight on images of the same class (with exactly "
            "the same labels, if images have several), "
            "over the last quarter of the training. Chance draws evenly from the other images of "
            "the batch.",
        )
    tables["training"] = Table(
        "Pre-training",
        ("method", "steps", "loss (last quarter)", "time (median)", "CPU time (median)"),
        tuple((name, *_training(results, name)) for name in settings.methods),
        "If a run was killed, times count from the last start.",
    )
    tables["paper"] = Table(
        "The paper's numbers",
        ("method", *published.COLUMNS),
        tuple(
            (name, *published.FIGURES[name].split()) for name in order if name in published.FIGURES
        ),
        "As printed on the poster, for its own sets. Compare them with ours only if the sets and "
        "the training are the same.",
    )
    return tables


_RIGHT, _CHANCE = "extra_positives_right", "extra_positives_chance"
_EXTRA = ("extra_positives", _RIGHT, _CHANCE)
_CHANCE_ROW = "by chance"


def _extra(results: Sequence[ByolTracInSeedResults], name: str, key: str) -> list[float]:
    return [one.trainings[name][key] for one in results if key in one.trainings[name]]


def _mean(results: Sequence[ByolTracInSeedResults], name: str, key: str) -> str:
    values = _extra(results, name, key)
    return cell(values) if values else "unknown"


def _training(results: Sequence[ByolTracInSeedResults], name: str) -> tuple[str, ...]:
    ended = [one.trainings[name] for one in results if "diverged" not in one.trainings[name]]
    if not ended:
        return ("diverged", "", "", "")
    return (
        f"{ended[0]['steps']:,.0f}",
        f"{np.mean([one['final_loss'] for one in ended]):.4g}",
        duration_text(float(np.median([one["seconds"] for one in ended]))),
        duration_text(float(np.median([one["cpu_seconds"] for one in ended]))),
    )


def _headline(
    results: Sequence[ByolTracInSeedResults],
    source: StudySet,
    other: StudySet,
    settings: StudySettings,
) -> str:
    metric, second = main_metric(source), main_metric(other)
    share = settings.shares[0]
    lines = []
    for name in (UNTRAINED, "byol", "byol_tracin"):
        if name in results[0].transfer:
            semi, moved = _semi(results, name, share, metric), _transfer(results, name, second)
            lines.append(f"{name} {_mean_or_diverged(semi)}, {_mean_or_diverged(moved)}")
    seeds = f"{len(results)} seed{'s' if len(results) > 1 else ''}"
    return (
        f"Mean over {seeds} of the {METRICS[metric]} on {source.name} with {share:.0%} of the "
        "labels, and of the "
        f"{METRICS[second]} on {other.name}: {'; '.join(lines)}."
    )


def _mean_or_diverged(values: Sequence[float]) -> str:
    return "diverged" if np.isnan(values).any() else f"{np.mean(values):.3f}"


def _warnings(
    results: Sequence[ByolTracInSeedResults], source: StudySet, other: StudySet
) -> tuple[str, ...]:
    notes = [
        f"No groups of {images.name} are known: images of one patient may lie on both sides of a "
        "split, which flatters every figure."
        for images in (source, other)
        if images.groups is None and images.tested is None
    ]
    notes += [
        f"{images.name}: {images.skipped} files could not be read and were left out."
        for images in (source, other)
        if images.skipped
    ]
    shared = max(one.sizes.get(LEFT_OUT, 0) for one in results)
    if shared:
        notes.append(
            f"{source.name} and {other.name} share images: up to {shared:,} of {source.name}'s "
            "training images were left out, as they, or "
            f"others of their groups, are test images of {other.name}."
        )
    if not all(isinstance(images.pixels, np.ndarray) for images in (source, other)):
        notes.append(
            "Images that both sets hold were looked for by their names alone, as some are read on "
            "demand."
        )
    for one in results:
        for name, training in one.trainings.items():
            if "diverged" in training:
                notes.append(
                    f"Seed {one.seed}: the pre-training of {name} diverged "
                    f"({training['diverged']})."
                )
    if len(results) < 2:
        notes.append("One seed: no deviation, and none of the rows is judged as learned or not.")
    elif len(results) < 3:
        notes.append("Two seeds: standard errors are rough.")
    return tuple(notes)


def _settings(settings: StudySettings, source: StudySet, other: StudySet) -> dict[str, object]:
    shown: dict[str, object] = {
        "pre-training and fine-tuning": (
            f"{len(source.labels):,} images of {source.name}: {', '.join(source.classes)}"
        ),
        "transfer": f"{len(other.labels):,} images of {other.name}: {', '.join(other.classes)}",
    }
    shown["not in the paper: views"] = (
        "the preset's augmentation; in fine-tuning crops of 35 to 100% of the area, and flips"
    )
    return shown | setting_rows(
        settings,
        whole_open={
            "false_negatives": "The images that byol_fnc attracts",
            "fine_tuning": "The fine-tuning's training",
        },
    )
