"""The page of EXAMINE's study: figures and tables of all seeds that are done."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from examine_jax.evaluation.curves import CURVE_KINDS, RANDOM
from examine_jax.evaluation.noise_separation import noise_separation
from examine_jax.evaluation.rank_correlation import rank_correlations
from examine_jax.labelled.sets import LabelledImages
from examine_jax.reporting.charts import scores
from examine_jax.reporting.charts.label_errors import label_error_chart, label_error_rows
from examine_jax.reporting.charts.noise_levels import noise_level_panels
from examine_jax.reporting.charts.rank_correlations import rank_correlation_map
from examine_jax.reporting.charts.running_times import duration_text, running_time_chart
from examine_jax.reporting.charts.separations import separation_chart, separation_rows
from examine_jax.reporting.charts.valuation_curves import (
    Curves,
    valuation_curve_chart,
    valuation_curve_rows,
)
from examine_jax.reporting.page import Illustration, Table
from examine_jax.reporting.study_page import write_study_page
from examine_jax.studies.common.setting_rows import setting_rows
from examine_jax.studies.examine import published
from examine_jax.studies.examine.results import ExamineSeedResults
from examine_jax.studies.examine.settings import ExperimentSettings
from examine_jax.valuation import (
    DataShapleyStopping,
    DataShapleyTruncation,
    ValueSettings,
    valuer_entry,
)

_AT_ONCE = 6  # lines in a figure


def write_page(
    workdir: str | os.PathLike[str],
    results: Sequence[ExamineSeedResults],
    images: LabelledImages,
    settings: ExperimentSettings,
    *,
    source: str,
    device: str,
) -> pathlib.Path:
    """Writes experiments.html, the figures as PNG and the tables as CSV; returns the page's path.

    Args:
        workdir: an existing folder.
        results: of each seed, one at least.
        images: of the study.
        settings: of the study.
        source: where the images are from, for the reader.
        device: where the results were computed, for the reader.

    Raises:
        OSError: a file cannot be written (which).
    """
    workdir = pathlib.Path(workdir)
    curves = _curves(results)
    illustrations = _illustrations(results, curves, settings)
    return write_study_page(
        workdir / "experiments.html",
        illustrations,
        _tables(results, curves),
        title="EXAMINE's experiments",
        headline=_headline(results, curves, settings, source),
        summary={
            "seeds": str(len(results)),
            **{name.replace("_", " "): f"{count:,}" for name, count in results[0].sizes.items()},
            "device": device,
        },
        warnings=_warnings(results, images, settings),
        settings=_settings(settings, images, source),
    )


def _curves(results: Sequence[ExamineSeedResults]) -> Curves:
    names = results[0].curves[CURVE_KINDS[0]]
    return {
        kind: {name: [one.curves[kind][name] for one in results] for name in names}
        for kind in CURVE_KINDS
    }


def _illustrations(
    results: Sequence[ExamineSeedResults], curves: Curves, settings: ExperimentSettings
) -> dict[str, Illustration]:
    level = np.concatenate([one.level for one in results])
    gaps = {name: np.concatenate([one.gaps[name] for one in results]) for name in results[0].gaps}
    main = settings.training.methods[0]
    seeds = f"{len(results)} seed{'s' if len(results) > 1 else ''}"
    made = {
        "fig_2a": Illustration(
            f"Scores by noise level: {main} (Fig. 2a)",
            scores.score_distribution(np.exp(-gaps[main]), gaps[main], level),
            f"All assessed images of {seeds}. The paper: scores of clean images near 1, falling "
            "with the noise.",
            "Distribution of scores and gaps by noise level",
        ),
        "fig_2b": Illustration(
            "Noise levels by encoder (Fig. 2b)",
            noise_level_panels(gaps, {name: level for name in gaps}),
            f"Each image's gap, a large one for a low score, pooled over {seeds}; each encoder's "
            "gaps over its largest. "
            "The last panels are controls: the levels that they separate are not due to training.",
            "Gaps by noise level, a panel an encoder",
        ),
        "noise_separation": Illustration(
            "Separation of noise by encoder, in numbers (Fig. 2b)",
            separation_chart(_separations(results)),
            "One dot per seed, a bar at the mean.",
            "Rank correlation and AUROC by encoder",
        ),
    }
    paper = [name for name in published.VALUERS if name in settings.valuers]
    about = (
        f"Means over {seeds}"
        + (", bands of one standard deviation" if len(results) > 1 else "")
        + "; "
        f"the random line is the mean of {settings.curves.random_orders} orders a seed. "
        "Good valuers are high in (a) and (d), low in (b) and (c)."
    )
    made["fig_3"] = Illustration(
        "Choosing data by value (Fig. 3a to 3d)",
        valuation_curve_chart(curves, paper, settings.metric.replace("_", " ")),
        about,
        "Four panels of accuracy while images are added or removed by value",
    )
    others = {
        "label_free": (
            "Choosing by values that need no labels",
            [name for name in settings.valuers if not valuer_entry(name).needs_labels],
        ),
        "supervised": (
            "Choosing by values that need labels",
            [name for name in settings.valuers if valuer_entry(name).needs_labels],
        ),
    }
    for need, (title, names) in others.items():
        rest = [name for name in names if name not in paper]
        for number, start in enumerate(range(0, len(rest), _AT_ONCE - 1)):
            shown = ["examine", *rest[start : start + _AT_ONCE - 1]]
            made[f"choosing_{need}_{number + 1}"] = Illustration(
                title,
                valuation_curve_chart(curves, shown, settings.metric.replace("_", " ")),
                about,
                title,
            )
    with_random = _with_random(results)
    if len(settings.valuers) > 1:
        agreement = np.mean([rank_correlations(values) for values in with_random], axis=0)
        made["agreement"] = Illustration(
            "Agreement between valuers",
            rank_correlation_map(tuple(with_random[0]), agreement),
            f"Spearman's rank correlation of the assessed images' values, the mean over {seeds}; "
            "blank if a valuer gave all images the same value.",
            "Heat map of rank correlations between valuers",
        )
    made["wrong_labels"] = Illustration(
        "Wrong labels found",
        label_error_chart(
            {name: [one.detections[name] for one in results] for name in _main_detectors(results)}
        ),
        f"{settings.mislabelled:.0%} of the assessed images get a wrong label, and all are valued "
        "again. "
        "Not one of the paper's experiments. "
        "Valuers that see no labels cannot find them. The table shows all valuers.",
        "Share of wrong labels found by share of images inspected",
    )
    made["running_times"] = Illustration(
        "Running times",
        running_time_chart(
            {name: [max(one.seconds[name], 1e-6) for one in results] for name in settings.valuers}
        ),
        "Time to value all assessed images, given their features; it includes compilation unless "
        "an earlier seed compiled the same "
        "programs. If a run was killed, the time counts from the last start.",
        "Seconds of each valuer on a logarithmic axis",
    )
    return made


def _main_detectors(results: Sequence[ExamineSeedResults]) -> list[str]:
    """Returns the six valuers that find most wrong labels, examine among them."""
    mean = {
        name: float(np.mean([one.detections[name].auroc for one in results]))
        for name in results[0].detections
    }
    best = sorted(mean, key=lambda name: -mean[name])
    kept = [*[name for name in best if name != "examine"][: _AT_ONCE - 1], "examine"]
    return [name for name in results[0].detections if name in kept]


def _with_random(results: Sequence[ExamineSeedResults]) -> list[dict[str, np.ndarray]]:
    return [
        {**one.values, RANDOM: np.random.default_rng(one.seed).random(len(one.level))}
        for one in results
    ]


def _separations(results: Sequence[ExamineSeedResults]) -> dict[str, list[Any]]:
    return {
        name: [noise_separation(one.gaps[name], one.level) for one in results]
        for name in results[0].gaps
    }


def _valuers_separations(results: Sequence[ExamineSeedResults]) -> dict[str, list[Any]]:
    return {
        name: [noise_separation(-one.values[name], one.level) for one in results]
        for name in results[0].values
    }


def _tables(results: Sequence[ExamineSeedResults], curves: Curves) -> dict[str, Table]:
    noise = separation_rows(_separations(results))
    areas = valuation_curve_rows(curves)
    wrong = label_error_rows(
        {name: [one.detections[name] for one in results] for name in results[0].detections}
    )
    times = ("valuer", "median time", "fits (median)", "the paper, 500 images")
    time_rows = tuple(
        (
            name,
            duration_text(float(np.median([one.seconds[name] for one in results]))),
            f"{np.median([one.fits[name] for one in results]):,.0f}",
            duration_text(published.SECONDS[name]) if name in published.SECONDS else "",
        )
        for name in results[0].seconds
    )
    training = ("encoder", "steps", "last loss (mean)", "time (median)", "CPU time (median)")
    training_rows = tuple(
        (
            name,
            f"{results[0].trainings[name]['steps']:,.0f}",
            f"{np.mean([one.trainings[name]['final_loss'] for one in results]):.4g}",
            duration_text(float(np.median([one.trainings[name]["seconds"] for one in results]))),
            duration_text(
                float(np.median([one.trainings[name]["cpu_seconds"] for one in results]))
            ),
        )
        for name in results[0].trainings
    )
    by_valuer = separation_rows(_valuers_separations(results))
    return {
        "noise_separation": Table("Separation of noise levels", *noise, "Means over the seeds."),
        "noise_separation_by_valuer": Table(
            "Separation of noise levels by valuer",
            *by_valuer,
            "How well low values of the main encoder's features separate the noise levels: 1 if "
            "the order of the values is the order of "
            "the noise, 0 (AUROC .5) if they are unrelated. Noise need not harm a classifier: "
            "valuers that need labels answer another "
            "question.",
        ),
        "areas": Table(
            "Areas under the curves",
            *areas,
            "The mean height of each curve: mean and standard deviation over the seeds, and the "
            "number of seeds in which it is better than "
            "the random order.",
        ),
        "wrong_labels": Table(
            "Wrong labels",
            *wrong,
            "A value's AUROC as a detector of wrong labels; one half is chance.",
        ),
        "running_times": Table(
            "Running times",
            times,
            time_rows,
            "The paper's times (section 4.4) are those of another machine and other code. Neither "
            "includes the training of the encoder. "
            "TMC's fits are counted as a loop would make them.",
        ),
        "training": Table(
            "Training",
            training,
            training_rows,
            "If a run was killed, times count from the last start.",
        ),
    }


def _headline(
    results: Sequence[ExamineSeedResults], curves: Curves, settings: ExperimentSettings, source: str
) -> str:
    main = settings.training.methods[0]
    separations = _separations(results)
    correlation = float(np.mean([one.rank_correlation for one in separations[main]]))
    sides = []
    for kind in CURVE_KINDS:
        ours = np.array([curve.area for curve in curves[kind]["examine"]])
        chance = np.array([curve.area for curve in curves[kind][RANDOM]])
        good = ours > chance if kind in ("add_best", "remove_worst") else ours < chance
        sides.append(f"{kind.replace('_', ' ')} first {good.sum()} of {len(good)}")
    return (
        f"EXAMINE on {source}, {len(results)} seed{'s' if len(results) > 1 else ''}: "
        f"the gap's rank correlation with the noise level is {correlation:.2f} for {main}. "
        f"Seeds in which choosing by EXAMINE is better than a random order: {'; '.join(sides)}."
    )


def _warnings(
    results: Sequence[ExamineSeedResults], images: LabelledImages, settings: ExperimentSettings
) -> tuple[str, ...]:
    notes = []
    asked = dataclasses.asdict(settings.sizes)
    halves = settings.valued_on != "validation"
    fewest = {name: min(one.sizes[name] for one in results) for name in results[0].sizes}
    fewest["validation"] = fewest["valued_on"] + (fewest["measured_on"] if halves else 0)
    smaller = [
        f"{name} {fewest[name]:,} of {count:,}"
        for name, count in asked.items()
        if fewest[name] < count
    ]
    if smaller:
        notes.append(f"Sets are smaller than asked for: {', '.join(smaller)}.")
    if images.groups is None:
        notes.append(
            "No groups are known: images of one patient or slide may lie in several sets, which "
            "flatters every curve."
        )
    if settings.valued_on == "validation":
        notes.append(
            "The curves are measured on the images that define V: this flatters valuers that fit "
            "models."
        )
    if len(results) < published.SEEDS:
        notes.append(
            f"{len(results)} of the paper's {published.SEEDS} seeds: differences of a hundredth "
            "may be chance."
        )
    if images.skipped:
        notes.append(f"{images.skipped} files could not be read and were left out.")
    return tuple(notes)


def _settings(
    settings: ExperimentSettings, images: LabelledImages, source: str
) -> Mapping[str, object]:
    shown: dict[str, object] = {"images": f"{len(images.names):,} from {source}"}
    counts = np.bincount(images.labels)
    shown["classes"] = ", ".join(
        f"{name} ({count:,})" for name, count in zip(images.classes[:20], counts)
    )
    shown["groups"] = (
        "none known"
        if images.groups is None
        else f"{len(np.unique(images.groups)):,}, kept whole in every split"
    )
    rows = setting_rows(
        settings,
        whole_open={
            "model": "The logistic regression that V fits",
            "curves": "The step of the curves, their ends and random orders",
        },
    )
    defaults = ValueSettings()
    of_valuers: dict[str, dict[str, object]] = {
        "tmc_shapley": {"truncation": DataShapleyTruncation(), "stopping": DataShapleyStopping()},
        "banzhaf": {"sets": defaults.sets},
        "data_oob": {"bags": defaults.bags},
        "knn_shapley": {"neighbours": defaults.neighbours},
    }
    for valuer, choices in of_valuers.items():
        if valuer in settings.valuers:
            shown |= {
                f"not in the paper: {what} of {valuer}": str(value)
                for what, value in choices.items()
            }
    return shown | rows
