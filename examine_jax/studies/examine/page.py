"""The experiments' page, figures and tables, of as many seeds as are done."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from examine_jax.common.configuration import to_plain
from examine_jax.evaluation.agreement import rank_agreement
from examine_jax.evaluation.curves import CHOOSINGS, RANDOM
from examine_jax.evaluation.noise_separation import noise_separation
from examine_jax.jobs.value.value import LABEL_FREE, ValueSettings
from examine_jax.reporting.charts import figures
from examine_jax.reporting.charts.agreement import agreement_map
from examine_jax.reporting.charts.noise_levels import noise_level_panels
from examine_jax.reporting.charts.running_times import in_words, running_time_chart
from examine_jax.reporting.charts.selection import (
    Curves,
    detection_chart,
    detection_rows,
    selection_chart,
    selection_rows,
)
from examine_jax.reporting.charts.separations import separation_chart, separation_rows
from examine_jax.reporting.page import Illustration, Table
from examine_jax.reporting.study_page import write_findings
from examine_jax.studies.examine.sets import LabelledImages
from examine_jax.studies.examine.settings import ExperimentSettings
from examine_jax.studies.examine.study import SeedFindings
from examine_jax.valuation import DataShapleyStopping, DataShapleyTruncation

_PAPER = ("examine", "loo", "tmc_shapley")  # the valuers of Fig. 3
_PAPER_SECONDS = {"examine": 23.0, "loo": 600.0, "tmc_shapley": 27_600.0}
_AT_ONCE = 6  # lines a figure

_CHOICES = {
    "V is defined by": "valued_on",
    "preprocessing of the features": "preprocessing",
    "second argument of N(delta, delta * m)": "noise.spread",
    "noisy images over the levels": "noise.division",
    "training on noise": "noise.training",
    "share of the training on clean images": "noise.clean_share",
    "step of the curves, images": "curves.step",
    "curves end when this share is added": "curves.added",
    "curves end when this share is removed": "curves.removed",
    "random orders whose mean is drawn": "curves.random_orders",
    "logistic regression": "model",
    "value of a model": "metric",
}


def write_experiments(
    workdir: str | os.PathLike[str],
    found: Sequence[SeedFindings],
    images: LabelledImages,
    settings: ExperimentSettings,
    *,
    source: str,
    device: str,
) -> pathlib.Path:
    """Writes experiments.html, the figures as PNG and the tables as CSV; returns the page's path.

    Args:
        workdir: an existing folder.
        found: one a seed, at least one.
        source, device: where the images are from, and what it was computed on, for the reader.

    Raises:
        OSError: a file cannot be written (which).
    """
    workdir = pathlib.Path(workdir)
    curves = _curves(found)
    illustrations = _illustrations(found, curves, settings)
    return write_findings(
        workdir / "experiments.html",
        illustrations,
        _tables(found, curves),
        title="EXAMINE's experiments",
        headline=_headline(found, curves, settings, source),
        summary={
            "seeds": str(len(found)),
            **{name.replace("_", " "): f"{count:,}" for name, count in found[0].sizes.items()},
            "device": device,
        },
        warnings=_warnings(found, images, settings),
        settings=_settings(settings, images, source),
    )


def _curves(found: Sequence[SeedFindings]) -> Curves:
    names = found[0].curves[CHOOSINGS[0]]
    return {choosing: {name: [one.curves[choosing][name] for one in found] for name in names} for choosing in CHOOSINGS}


def _illustrations(
    found: Sequence[SeedFindings], curves: Curves, settings: ExperimentSettings
) -> dict[str, Illustration]:
    level = np.concatenate([one.level for one in found])
    gaps = {name: np.concatenate([one.gaps[name] for one in found]) for name in found[0].gaps}
    main = settings.training.methods[0]
    seeds = f"{len(found)} seed{'s' if len(found) > 1 else ''}"
    made = {
        "fig_2a": Illustration(
            f"Scores by noise level: {main} (Fig. 2a)",
            figures.score_distribution(np.exp(-gaps[main]), gaps[main], level),
            f"All assessed images of {seeds}. The paper: scores of clean images near 1, falling with the noise.",
            "Distribution of scores and gaps by noise level",
        ),
        "fig_2b": Illustration(
            "Noise levels by encoder (Fig. 2b)",
            noise_level_panels(gaps, {name: level for name in gaps}),
            f"Each image's gap, a large one for a low score, pooled over {seeds}; each encoder's gaps over its largest. "
            "The last ones are controls: what they separate, training did not earn.",
            "Gaps by noise level, a panel an encoder",
        ),
        "noise_separation": Illustration(
            "Separation of noise by encoder, in figures (Fig. 2b)",
            separation_chart(_separations(found)),
            "A dot a seed, a bar at the mean.",
            "Rank correlation and AUROC by encoder",
        ),
    }
    paper = [name for name in _PAPER if name in settings.valuers]
    about = (
        f"Means over {seeds}" + (", bands of one standard deviation" if len(found) > 1 else "") + "; "
        f"the random line is the mean of {settings.curves.random_orders} orders a seed. "
        "Good valuers are high in (a) and (d), low in (b) and (c)."
    )
    made["fig_3"] = Illustration(
        "Choosing data by value (Fig. 3a to 3d)",
        selection_chart(curves, paper, settings.metric.replace("_", " ")),
        about,
        "Four panels of accuracy while images are added or removed by value",
    )
    others = {
        "label_free": (
            "Choosing by values that need no labels",
            [name for name in settings.valuers if name in LABEL_FREE],
        ),
        "supervised": (
            "Choosing by values that need labels",
            [name for name in settings.valuers if name not in LABEL_FREE],
        ),
    }
    for kind, (title, names) in others.items():
        rest = [name for name in names if name not in paper]
        for number, start in enumerate(range(0, len(rest), _AT_ONCE - 1)):
            shown = ["examine", *rest[start : start + _AT_ONCE - 1]]
            made[f"choosing_{kind}_{number + 1}"] = Illustration(
                title, selection_chart(curves, shown, settings.metric.replace("_", " ")), about, title
            )
    with_random = _with_random(found)
    if len(settings.valuers) > 1:
        agreement = np.mean([rank_agreement(values) for values in with_random], axis=0)
        made["agreement"] = Illustration(
            "Agreement between valuers",
            agreement_map(tuple(with_random[0]), agreement),
            f"Spearman's rank correlation of the assessed images' values, the mean over {seeds}; "
            "blank where a valuer gave all images one value.",
            "Heat map of rank correlations between valuers",
        )
    made["wrong_labels"] = Illustration(
        "Wrong labels found",
        detection_chart({name: [one.detections[name] for one in found] for name in _main_detectors(found)}),
        f"{settings.mislabelled:.0%} of the assessed images get a wrong label, and all are valued anew. "
        "Not one of the paper's experiments. "
        "Valuers that see no labels cannot know; the table has all of them.",
        "Share of wrong labels found by share of images looked at",
    )
    made["running_times"] = Illustration(
        "Running times",
        running_time_chart({name: [max(one.seconds[name], 1e-6) for one in found] for name in settings.valuers}),
        "Of valuing all assessed images once their features are there, compilation included where no earlier seed's programs serve; in "
        "a run that was killed, since the last start.",
        "Seconds of each valuer on a logarithmic axis",
    )
    return made


def _main_detectors(found: Sequence[SeedFindings]) -> list[str]:
    """The six that find most, examine among them."""
    mean = {name: float(np.mean([one.detections[name].auroc for one in found])) for name in found[0].detections}
    best = sorted(mean, key=lambda name: -mean[name])
    kept = [*[name for name in best if name != "examine"][: _AT_ONCE - 1], "examine"]
    return [name for name in found[0].detections if name in kept]


def _with_random(found: Sequence[SeedFindings]) -> list[dict[str, np.ndarray]]:
    return [{**one.values, RANDOM: np.random.default_rng(one.seed).random(len(one.level))} for one in found]


def _separations(found: Sequence[SeedFindings]) -> dict[str, list[Any]]:
    return {name: [noise_separation(one.gaps[name], one.level) for one in found] for name in found[0].gaps}


def _valuers_separations(found: Sequence[SeedFindings]) -> dict[str, list[Any]]:
    return {name: [noise_separation(-one.values[name], one.level) for one in found] for name in found[0].values}


def _tables(found: Sequence[SeedFindings], curves: Curves) -> dict[str, Table]:
    noise = separation_rows(_separations(found))
    areas = selection_rows(curves)
    wrong = detection_rows({name: [one.detections[name] for one in found] for name in found[0].detections})
    times = ("valuer", "median time", "fits (median)", "the paper, 500 images")
    time_rows = tuple(
        (
            name,
            in_words(float(np.median([one.seconds[name] for one in found]))),
            f"{np.median([one.fits[name] for one in found]):,.0f}",
            in_words(_PAPER_SECONDS[name]) if name in _PAPER_SECONDS else "",
        )
        for name in found[0].seconds
    )
    training = ("encoder", "steps", "last loss (mean)", "time (median)", "CPU time (median)")
    training_rows = tuple(
        (
            name,
            f"{found[0].trainings[name]['steps']:,.0f}",
            f"{np.mean([one.trainings[name]['final_loss'] for one in found]):.4g}",
            in_words(float(np.median([one.trainings[name]["seconds"] for one in found]))),
            in_words(float(np.median([one.trainings[name]["cpu_seconds"] for one in found]))),
        )
        for name in found[0].trainings
    )
    by_valuer = separation_rows(_valuers_separations(found))
    return {
        "noise_separation": Table("Separation of noise levels", *noise, "Means over the seeds."),
        "noise_separation_by_valuer": Table(
            "Separation of noise levels by valuer",
            *by_valuer,
            "Of low values in place of large gaps, the main encoder's features: 1 where a valuer ranks images strictly by their noise, 0 "
            "(AUROC .5) where it does not see it. Noise need not harm a classifier: valuers that need labels answer another question.",
        ),
        "areas": Table(
            "Areas under the curves",
            *areas,
            "The mean height of each curve: mean and standard deviation over the seeds, and in how many seeds it is on the good side of "
            "the random order.",
        ),
        "wrong_labels": Table(
            "Wrong labels", *wrong, "A value's AUROC as a detector of wrong labels; one half is chance."
        ),
        "running_times": Table(
            "Running times",
            times,
            time_rows,
            "The paper's (section 4.4) are of another machine and code; training the encoder is in neither. "
            "TMC's fits are those that a loop would have made.",
        ),
        "training": Table(
            "Training", training, training_rows, "In a run that was killed, times are since the last start."
        ),
    }


def _headline(found: Sequence[SeedFindings], curves: Curves, settings: ExperimentSettings, source: str) -> str:
    main = settings.training.methods[0]
    separations = _separations(found)
    correlation = float(np.mean([one.rank_correlation for one in separations[main]]))
    sides = []
    for choosing in CHOOSINGS:
        ours = np.array([curve.area for curve in curves[choosing]["examine"]])
        chance = np.array([curve.area for curve in curves[choosing][RANDOM]])
        good = ours > chance if choosing in ("add_best", "remove_worst") else ours < chance
        sides.append(f"{choosing.replace('_', ' ')} first {good.sum()} of {len(good)}")
    return (
        f"EXAMINE on {source}, {len(found)} seed{'s' if len(found) > 1 else ''}: "
        f"the gap's rank correlation with the noise level is {correlation:.2f} for {main}. "
        f"Seeds in which choosing by EXAMINE is better than a random order: {'; '.join(sides)}."
    )


def _warnings(found: Sequence[SeedFindings], images: LabelledImages, settings: ExperimentSettings) -> tuple[str, ...]:
    told = []
    asked = dataclasses.asdict(settings.sizes)
    halves = settings.valued_on != "validation"
    fewest = {name: min(one.sizes[name] for one in found) for name in found[0].sizes}
    fewest["validation"] = fewest["valued_on"] + (fewest["measured_on"] if halves else 0)
    smaller = [f"{name} {fewest[name]:,} of {count:,}" for name, count in asked.items() if fewest[name] < count]
    if smaller:
        told.append(f"Sets are smaller than asked for: {', '.join(smaller)}.")
    if images.groups is None:
        told.append(
            "No groups are known: images of one patient or slide may lie in several sets, which flatters every curve."
        )
    if settings.valued_on == "validation":
        told.append(
            "The curves are measured on the images that define V: valuers that fit models are flattered by that."
        )
    if len(found) < 5:
        told.append(f"{len(found)} of the paper's 5 seeds: differences of a hundredth are chance.")
    if images.skipped:
        told.append(f"{images.skipped} files could not be read and were left out.")
    return tuple(told)


def _settings(settings: ExperimentSettings, images: LabelledImages, source: str) -> Mapping[str, object]:
    plain = to_plain(settings)
    shown: dict[str, object] = {"images": f"{len(images.names):,} from {source}"}
    counts = np.bincount(images.labels)
    shown["classes"] = ", ".join(f"{name} ({count:,})" for name, count in zip(images.classes[:20], counts))
    shown["groups"] = (
        "none known" if images.groups is None else f"{len(np.unique(images.groups)):,}, kept whole in every split"
    )
    for text, path in _CHOICES.items():
        value: Any = plain
        for part in path.split("."):
            value = value[part]
        shown[f"not in the paper: {text}"] = _in_words(value)
    defaults = ValueSettings()
    of_valuers: dict[str, dict[str, object]] = {
        "tmc_shapley": {"truncation": DataShapleyTruncation(), "stopping": DataShapleyStopping()},
        "banzhaf": {"sets": defaults.sets},
        "data_oob": {"bags": defaults.bags},
        "knn_shapley": {"neighbours": defaults.neighbours},
    }
    for valuer, choices in of_valuers.items():
        if valuer in settings.valuers:
            shown |= {f"not in the paper: {what} of {valuer}": str(value) for what, value in choices.items()}
    named = {path.split(".")[0] for path in _CHOICES.values() if "." not in path}
    shown |= {name: _in_words(value) for name, value in plain.items() if name not in ("type", *named)}
    return shown


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items() if name != "type")
    if isinstance(value, list):
        return " ".join(_in_words(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
