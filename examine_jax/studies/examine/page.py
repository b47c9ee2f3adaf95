"""The page of EXAMINE's study: figures and tables over all finished seeds."""

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

_AT_ONCE = 6  # the largest number of lines in a figure


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
        results: the results of each seed, at least one.
        images: the images of the study.
        settings: the settings of the study.
        source: the name of the images' source, shown on the page.
        device: the name of the device that computed the results, shown on the page.

    Raises:
        OSError: a file cannot be written; the message names it.
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
            f"All assessed images of {seeds}. In the paper, scores of clean images are near 1, and "
            "scores fall with the noise.",
            "Distribution of scores and gaps by noise level",
        ),
        "fig_2b": Illustration(
            "Noise levels by encoder (Fig. 2b)",
            noise_level_panels(gaps, {name: level for name in gaps}),
            f"The gap of each image, divided by the encoder's largest gap, for all images of "
            f"{seeds}. A large gap is a low score. The last panels are controls: if these separate "
            "the levels too, training is not the reason.",
            "Gaps by noise level, one panel per encoder",
        ),
        "noise_separation": Illustration(
            "Separation of noise by encoder, in numbers (Fig. 2b)",
            separation_chart(_separations(results)),
            "One dot per seed; the bar is the mean.",
            "Rank correlation and AUROC by encoder",
        ),
    }
    paper = [name for name in published.VALUERS if name in settings.valuers]
    about = (
        f"Means over {seeds}"
        + (", bands of one standard deviation" if len(results) > 1 else "")
        + "; "
        f"the random line is the mean of {settings.curves.random_orders} random orders per seed. "
        "The curves of a good valuer are high in (a) and (d), and low in (b) and (c)."
    )
    made["fig_3"] = Illustration(
        "Choosing data by value (Fig. 3a to 3d)",
        valuation_curve_chart(curves, paper, settings.metric.replace("_", " ")),
        about,
        "Four panels: accuracy as images are added or removed in the order of their values",
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
            f"Spearman's rank correlation of the assessed images' values, the mean over {seeds}. "
            "A cell is blank if a valuer gave all images the same value.",
            "Heat map of rank correlations between valuers",
        )
    made["wrong_labels"] = Illustration(
        "Wrong labels found",
        label_error_chart(
            {name: [one.detections[name] for one in results] for name in _main_detectors(results)}
        ),
        f"{settings.mislabelled:.0%} of the assessed images get a wrong label, and all images are "
        "valued again. The paper does not have this experiment. Valuers that use no labels cannot "
        "find wrong ones. The figure shows the best valuers and examine; the table shows all.",
        "Share of wrong labels found by share of images inspected",
    )
    made["running_times"] = Illustration(
        "Running times",
        running_time_chart(
            {name: [max(one.seconds[name], 1e-6) for one in results] for name in settings.valuers}
        ),
        "The time to value all assessed images, without computing their features. It includes "
        "compilation, unless an earlier seed has compiled the same programs. If a run was killed, "
        "the time counts from the last start.",
        "Seconds of each valuer on a logarithmic axis",
    )
    return made


def _main_detectors(results: Sequence[ExamineSeedResults]) -> list[str]:
    """Returns examine and the five other valuers that find the most wrong labels."""
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
            "How well the values, computed from the main encoder's features, separate the noise "
            "levels. The rank correlation is 1 if more noise always means a lower value, and 0 "
            "(AUROC .5) if noise and value are unrelated. Valuers that need labels measure "
            "something else: noise may leave a classifier as accurate as before.",
        ),
        "areas": Table(
            "Areas under the curves",
            *areas,
            "The area of a curve is its mean height. The table shows the mean and the standard "
            "deviation over the seeds, and the number of seeds in which the area is better than "
            "that of the random order.",
        ),
        "wrong_labels": Table(
            "Wrong labels",
            *wrong,
            "The AUROC of low values as a sign of wrong labels; .5 is chance.",
        ),
        "running_times": Table(
            "Running times",
            times,
            time_rows,
            "The paper's times (section 4.4) are from another machine and other code. Neither the "
            "paper's times nor these include the training of the encoder. The fits of tmc_shapley "
            "are the number that a loop without batching would make.",
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
        notes.append(f"Some sets are smaller than the settings ask for: {', '.join(smaller)}.")
    if images.groups is None:
        notes.append(
            "No groups are known. Images of one patient or slide may be in several sets, which "
            "makes every curve look better than it is."
        )
    if settings.valued_on == "validation":
        notes.append(
            "The curves are measured on the images that define V. This makes valuers that fit "
            "models look better than they are."
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
