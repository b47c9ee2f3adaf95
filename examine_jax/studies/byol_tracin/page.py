"""The study's page, figures and tables, of as many seeds as are done; the paper's own numbers beside ours."""

import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from examine_jax.common.configuration import to_plain
from examine_jax.reporting.charts.method_dots import method_dots
from examine_jax.reporting.charts.neighbour_gallery import neighbour_gallery
from examine_jax.reporting.charts.running_times import in_words
from examine_jax.reporting.page import Illustration, Table
from examine_jax.reporting.study_page import write_findings
from examine_jax.studies.byol_tracin.downstream import METRICS
from examine_jax.studies.byol_tracin.sets import StudySet
from examine_jax.studies.byol_tracin.settings import COLOURS, UNTRAINED, StudySettings
from examine_jax.studies.byol_tracin.study import LEFT_OUT, Gallery, SeedFindings

# The poster: ISIC 2019 (BMA) and ChestX-ray (AUC) at 10, 50 and 100 % of the labels; ISIC 2016 (precision), Shenzhen (AUC).
_PAPER = {
    UNTRAINED: "0.327(.004) 0.558(.005) 0.650(.004) 0.694(.005) 0.736(.001) 0.749(.001) 0.400(.005) 0.835(.010)",
    "byol": "0.399(.001) 0.580(.006) 0.692(.005) 0.699(.004) 0.738(.003) 0.750(.001) 0.541(.008) 0.858(.003)",
    "byol_fnc": "0.401(.004) 0.584(.004) 0.694(.005) 0.706(.001) 0.739(.001) 0.752(.002) 0.542(.007) 0.862(.006)",
    "byol_ft": "0.405(.005) 0.588(.008) 0.695(.005) 0.708(.001) 0.743(.001) 0.751(.002) 0.559(.011) 0.876(.005)",
    "byol_fs": "0.403(.006) 0.591(.003) 0.694(.004) 0.705(.003) 0.738(.001) 0.752(.002) 0.551(.003) 0.877(.004)",
    "byol_fs_pretrained": "0.406(.002) 0.596(.004) 0.697(.005) 0.709(.001) 0.744(.002) 0.752(.002) 0.556(.004) 0.877(.006)",
    "byol_tracin": "0.403(.003) 0.594(.004) 0.694(.004) 0.705(.001) 0.742(.003) 0.753(.002) 0.555(.012) 0.880(.007)",
    "byol_tracin_pretrained": "0.408(.007) 0.602(.003) 0.700(.006) 0.712(.001) 0.746(.002) 0.754(.002) 0.565(.010) 0.883(.001)",
    "byol_sup": "0.438(.006) 0.608(.007) 0.705(.005) 0.714(.001) 0.748(.001) 0.756(.003) 0.592(.008) 0.893(.006)",
}
_PAPER_COLUMNS = (
    *("ISIC 2019 BMA 10%", "50%", "100%", "ChestX-ray AUC 10%", "50%", "100%"),
    *("ISIC 2016 precision", "Shenzhen AUC"),
)


def learned(values: Sequence[float], untrained: Sequence[float]) -> bool | None:
    """Whether figures, one a seed, lie above random initialisation's of the same seeds by more than two standard errors of the mean
    difference; None: one seed cannot tell."""
    if len(values) < 2:
        return None
    gain = np.subtract(values, untrained)
    return bool(gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)))


def cell(values: Sequence[float], untrained: Sequence[float] | None = None) -> str:
    """Mean and standard deviation over seeds; "not learned" before them where `learned` says so of a trained row. A seed's nan is one that
    diverged, which leaves no mean."""
    diverged = int(np.isnan(values).sum())
    if diverged:
        return f"diverged in {diverged} of {len(values)} seeds"
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    text = f"{np.mean(values):.3f}{deviation}"
    return f"not learned ({text})" if untrained is not None and learned(values, untrained) is False else text


def write_study(
    workdir: str | os.PathLike[str],
    found: Sequence[SeedFindings],
    source: StudySet,
    other: StudySet,
    settings: StudySettings,
    shown: Gallery | None,
    *,
    device: str,
) -> pathlib.Path:
    """Writes byol_tracin.html, the figures as PNG and the tables as CSV; returns the page's path.

    Args:
        found: one a seed, at least one.
        device: what it was computed on, for the reader.

    Raises:
        OSError: a file cannot be written (which).
    """
    workdir = pathlib.Path(workdir)
    return write_findings(
        workdir / "byol_tracin.html",
        _illustrations(found, source, other, settings, shown),
        _tables(found, source, other, settings),
        title="BYOL-TracIn's study",
        headline=_headline(found, source, other, settings),
        summary={
            "seeds": str(len(found)),
            **{name: f"{count:,}" for name, count in found[0].sizes.items()},
            "device": device,
        },
        warnings=_warnings(found, source, other),
        settings=_settings(settings, source, other),
    )


def main_metric(images: StudySet) -> str:
    """BMA of images of one class each, AUC where they have several labels or two classes."""
    return "auc" if images.multilabel or len(images.classes) == 2 else "bma"


def _semi(found: Sequence[SeedFindings], name: str, share: float, metric: str) -> list[float]:
    return [one.semi_supervised[name][share].get(metric, math.nan) for one in found]


def _transfer(found: Sequence[SeedFindings], name: str, metric: str) -> list[float]:
    return [one.transfer[name].get(metric, math.nan) for one in found]


def _illustrations(
    found: Sequence[SeedFindings], source: StudySet, other: StudySet, settings: StudySettings, shown: Gallery | None
) -> dict[str, Illustration]:
    order = [COLOURS, UNTRAINED, *settings.methods]
    metric = main_metric(source)
    semi = {
        f"{share:.0%} of the labels": {name: _semi(found, name, share, metric) for name in order}
        for share in settings.shares
    }
    transfer = {
        METRICS[key]: {name: _transfer(found, name, key) for name in order}
        for key in METRICS
        if key in found[0].transfer[COLOURS]
    }
    about = "A dot a seed, a bar at the mean; the dashed line is random initialisation's mean."
    right = {name: shares for name in settings.methods if (shares := _extra(found, name, _RIGHT))}
    extra = {}
    if right:
        first = next(iter(right))
        extra["extra_positives"] = Illustration(
            "Right extra positives",
            method_dots(
                {"pre-training": {_CHANCE_ROW: _extra(found, first, _CHANCE), **right}},
                _CHANCE_ROW,
                "share",
            ),
            "The share of extra positives that are of the image's own class: the paper's explanation of its gains. A dot a seed, a bar "
            "at the mean; the dashed line is what drawing among the batch's other images gives.",
            "Dots by method",
        )
    return {
        "semi_supervised": Illustration(
            f"Fine-tuned on a share of {source.name}'s labels",
            method_dots(semi, UNTRAINED, METRICS[metric]),
            about,
            "Dots by method",
        ),
        "transfer": Illustration(
            f"Transferred to {other.name}", method_dots(transfer, UNTRAINED, "figure"), about, "Dots by method"
        ),
        **extra,
        **({} if shown is None else {"likes": _likes(source, shown, found[0].seed)}),
    }


def _likes(source: StudySet, shown: Gallery, seed: int) -> Illustration:
    texts = (
        ["|".join(np.array(source.classes)[row.astype(bool)]) or "none" for row in source.labels[shown.rows]]
        if source.multilabel
        else [source.classes[code] for code in source.labels[shown.rows]]
    )
    return Illustration(
        "An image and its likes in a mini-batch",
        neighbour_gallery(source.pixels[shown.rows], shown.anchors, shown.methods, texts),
        f"The first images of a random batch of training images of seed {seed}, by the encoder of {shown.encoder}; "
        "under each the label and the score: TracIn at the predictor's last layer but for the learning rate, or the cosine.",
        "Anchor images, each with its top three by TracIn and by feature similarity",
    )


def _tables(
    found: Sequence[SeedFindings], source: StudySet, other: StudySet, settings: StudySettings
) -> dict[str, Table]:
    order = (COLOURS, UNTRAINED, *settings.methods)
    tables = {}
    note = (
        "Mean ± standard deviation over the seeds, on test images that no training saw. Not learned: not above random "
        "initialisation by two standard errors of the difference, seed by seed."
    )
    for key, text in METRICS.items():
        if key not in found[0].semi_supervised[COLOURS][settings.shares[0]]:
            continue
        rows = []
        for name in order:
            columns = [
                cell(
                    _semi(found, name, share, key),
                    _semi(found, UNTRAINED, share, key) if name in settings.methods else None,
                )
                for share in settings.shares
            ]
            rows.append((name, *columns))
        header = ("method", *(f"{share:.0%} of the labels" for share in settings.shares))
        tables[f"semi_supervised_{key}"] = Table(f"{text} on {source.name}, semi-supervised", header, tuple(rows), note)
    keys = [key for key in METRICS if key in found[0].transfer[COLOURS]]
    rows = []
    for name in order:
        columns = [
            cell(_transfer(found, name, key), _transfer(found, UNTRAINED, key) if name in settings.methods else None)
            for key in keys
        ]
        rows.append((name, *columns))
    tables["transfer"] = Table(
        f"Transfer to {other.name}", ("method", *(METRICS[key] for key in keys)), tuple(rows), note
    )
    chosen = [name for name in settings.methods if _extra(found, name, "extra_positives")]
    if chosen:
        tables["extra_positives"] = Table(
            "Right extra positives",
            ("method", "images that have one", "of the right class", "by chance"),
            tuple((name, *(_mean(found, name, key) for key in _EXTRA)) for name in chosen),
            "The share of the extra positives' weight that lies on images of the same class (of exactly the same labels, where images "
            "have several), over the last quarter of the training; chance draws evenly among the other images of the batch.",
        )
    tables["training"] = Table(
        "Pre-training",
        ("method", "steps", "loss (last quarter)", "time (median)", "CPU time (median)"),
        tuple((name, *_training(found, name)) for name in settings.methods),
        "In a run that was killed, times are since the last start.",
    )
    tables["paper"] = Table(
        "The paper's numbers",
        ("method", *_PAPER_COLUMNS),
        tuple((name, *_PAPER[name].split()) for name in order if name in _PAPER),
        "As printed on its poster, on its own sets: to be compared with ours only where the sets and the training are the same.",
    )
    return tables


_RIGHT, _CHANCE = "extra_positives_right", "extra_positives_chance"
_EXTRA = ("extra_positives", _RIGHT, _CHANCE)
_CHANCE_ROW = "by chance"


def _extra(found: Sequence[SeedFindings], name: str, key: str) -> list[float]:
    return [one.trainings[name][key] for one in found if key in one.trainings[name]]


def _mean(found: Sequence[SeedFindings], name: str, key: str) -> str:
    values = _extra(found, name, key)
    return cell(values) if values else "unknown"


def _training(found: Sequence[SeedFindings], name: str) -> tuple[str, ...]:
    ended = [one.trainings[name] for one in found if "diverged" not in one.trainings[name]]
    if not ended:
        return ("diverged", "", "", "")
    return (
        f"{ended[0]['steps']:,.0f}",
        f"{np.mean([one['final_loss'] for one in ended]):.4g}",
        in_words(float(np.median([one["seconds"] for one in ended]))),
        in_words(float(np.median([one["cpu_seconds"] for one in ended]))),
    )


def _headline(found: Sequence[SeedFindings], source: StudySet, other: StudySet, settings: StudySettings) -> str:
    metric, second = main_metric(source), main_metric(other)
    share = settings.shares[0]
    lines = []
    for name in (UNTRAINED, "byol", "byol_tracin"):
        if name in found[0].transfer:
            semi, moved = _semi(found, name, share, metric), _transfer(found, name, second)
            lines.append(f"{name} {_told(semi)}, {_told(moved)}")
    seeds = f"{len(found)} seed{'s' if len(found) > 1 else ''}"
    return (
        f"Mean over {seeds} of the {METRICS[metric]} on {source.name} with {share:.0%} of the labels, and of the "
        f"{METRICS[second]} on {other.name}: {'; '.join(lines)}."
    )


def _told(values: Sequence[float]) -> str:
    return "diverged" if np.isnan(values).any() else f"{np.mean(values):.3f}"


def _warnings(found: Sequence[SeedFindings], source: StudySet, other: StudySet) -> tuple[str, ...]:
    told = [
        f"No groups of {images.name} are known: images of one patient may lie on both sides of a split, which flatters every figure."
        for images in (source, other)
        if images.groups is None and images.tested is None
    ]
    told += [
        f"{images.name}: {images.skipped} files could not be read and were left out."
        for images in (source, other)
        if images.skipped
    ]
    shared = max(one.sizes.get(LEFT_OUT, 0) for one in found)
    if shared:
        told.append(
            f"{source.name} and {other.name} share images: up to {shared:,} of {source.name}'s training images were left out, as they, or "
            f"others of their groups, are test images of {other.name}."
        )
    if not all(isinstance(images.pixels, np.ndarray) for images in (source, other)):
        told.append("Images that both sets hold were looked for by their names alone, as some are read on demand.")
    for one in found:
        for name, training in one.trainings.items():
            if "diverged" in training:
                told.append(f"Seed {one.seed}: the pre-training of {name} diverged ({training['diverged']}).")
    if len(found) < 2:
        told.append("One seed: no deviation, and none of the rows is judged as learned or not.")
    elif len(found) < 3:
        told.append("Two seeds: standard errors are rough.")
    return tuple(told)


def _settings(settings: StudySettings, source: StudySet, other: StudySet) -> dict[str, object]:
    shown: dict[str, object] = {
        "pre-training and fine-tuning": f"{len(source.labels):,} images of {source.name}: {', '.join(source.classes)}",
        "transfer": f"{len(other.labels):,} images of {other.name}: {', '.join(other.classes)}",
    }
    unknown = (
        "architecture",
        "minutes",
        "steps",
        "batch_size",
        "scorer",
        "learning_rate",
        "scored",
        "weight",
        "extra_views",
        "false_negatives",
        "concentration",
        "fine_tuning",
        "fine_tuning_steps",
    )
    shown["not in the paper: views"] = (
        "the preset's augmentation; in fine-tuning crops of 35 to 100% of the area, and flips"
    )
    for name, value in to_plain(settings).items():
        if name != "type":
            shown[f"not in the paper: {name}" if name in unknown else name] = value
    return shown
