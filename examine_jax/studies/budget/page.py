"""The page of the budget study: curves, and what each way of choosing wins over random."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from examine_jax.labelled.sets import LabelledImages
from examine_jax.reporting.page import Illustration, Table
from examine_jax.reporting.study_page import write_study_page
from examine_jax.reporting.tables import write_table
from examine_jax.studies.budget.charts import budget_chart
from examine_jax.studies.budget.choices import RANDOM, default_strategy
from examine_jax.studies.budget.pools import conditions
from examine_jax.studies.budget.results import BudgetResult, UsabilityResult
from examine_jax.studies.budget.rows import Curve, curves, find, gain, gain_text
from examine_jax.studies.budget.settings import COLOURS, BudgetSettings
from examine_jax.studies.common.setting_rows import setting_rows
from examine_jax.studies.common.verdict import mean_sd


def write_page(
    workdir: str | os.PathLike[str],
    results: Sequence[BudgetResult | UsabilityResult],
    images: LabelledImages,
    settings: BudgetSettings,
    *,
    device: str,
) -> pathlib.Path:
    """Writes budget.html, the figures as PNG and the tables as CSV; returns the page's path.

    Args:
        workdir: an existing folder.
        results: of all pools that are done, one at least.
        images: of the study.
        settings: of the study.
        device: where the results were computed, for the reader.

    Raises:
        OSError: a file cannot be written (which).
    """
    workdir = pathlib.Path(workdir)
    budgeted = [one for one in results if isinstance(one, BudgetResult)]
    found = [one for one in results if isinstance(one, UsabilityResult)]
    lines, default = curves(budgeted), default_strategy()
    encoders = list(dict.fromkeys(curve.encoder for curve in lines))
    tables = {
        "curves": _curves_table(lines, settings),
        "against_random": _against_random(lines, settings),
    }
    if settings.artefact_share > 0:
        tables |= {
            "cost_of_artefacts": _cost(lines, encoders, default, settings),
            "wasted": _wasted(lines, settings),
        }
    tables |= {"usability": _usability_table(found)}
    write_table(
        workdir / "results.csv",
        ("seed", "condition", "encoder", "way", "budget", "labels", "balanced_accuracy", "wasted"),
        [
            (
                one.seed,
                one.condition,
                one.encoder,
                one.way,
                share,
                number,
                one.balanced_accuracy[place],
                one.wasted[place],
            )
            for one in budgeted
            for place, (share, number) in enumerate(zip(settings.budgets, one.budgets))
        ],
    )
    figures = {
        f"curves_{name}": Illustration(
            f"Balanced accuracy against labels: {_words(name)}",
            budget_chart(
                [curve for curve in lines if curve.encoder == name],
                conditions(settings),
                default,
                RANDOM,
            ),
            f"Means over {len(settings.seeds)} seeds; bands of one standard deviation for "
            f"{default}, the default, and for random (dotted).",
            "Lines of balanced accuracy over the number of labels, a panel a condition",
        )
        for name in encoders
    }
    counts = np.bincount(images.labels, minlength=len(images.classes))
    return write_study_page(
        workdir / "budget.html",
        figures,
        tables,
        title="What K labels buy, by the way the K are chosen",
        headline=_headline(lines, encoders, default, settings),
        summary={
            "images": f"{len(images.names):,}",
            "classes": str(len(images.classes)),
            "seeds": str(len({one.seed for one in results})),
            "device": device,
        },
        warnings=_warnings(results, images, settings),
        settings={
            "classes": ", ".join(
                f"{name} ({count:,})" for name, count in zip(images.classes, counts)
            ),
            "groups": "none" if images.groups is None else f"{len(np.unique(images.groups)):,}",
            "default strategy": default,
            **setting_rows(settings),
        },
    )


def _words(encoder: str) -> str:
    return "colour statistics" if encoder == COLOURS else encoder


def _header(lines: Sequence[Curve], settings: BudgetSettings) -> tuple[str, ...]:
    """Returns a column's name for each budget, such as "1% (28)"."""
    numbers = np.concatenate([curve.budgets for curve in lines])
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    return tuple(
        f"{share:.4g}% ({first}{'' if first == last else f' to {last}'})"
        for share, first, last in zip(np.multiply(settings.budgets, 100), low, high)
    )


def _curves_table(lines: Sequence[Curve], settings: BudgetSettings) -> Table:
    rows = tuple(
        (
            curve.condition,
            _words(curve.encoder),
            curve.way,
            *(mean_sd(column.tolist()) for column in curve.accuracy.T),
            f"{curve.seconds.mean():.2f}",
        )
        for curve in lines
    )
    return Table(
        "Balanced accuracy",
        ("pool", "encoder", "choice", *_header(lines, settings), "seconds of choosing"),
        rows,
        "On the held-out images; mean and standard deviation over the seeds. Columns are the "
        "budgets, as shares of the pool and as labels. 'Usability' leaves out what is found "
        "unusable; 'truth' leaves out what is spoilt, which nobody knows in practice.",
    )


def _against_random(lines: Sequence[Curve], settings: BudgetSettings) -> Table:
    rows = []
    for curve in lines:
        random = find(lines, curve.condition, curve.encoder, RANDOM)
        if random is None or curve is random:
            continue
        rows.append(
            (
                curve.condition,
                _words(curve.encoder),
                curve.way,
                *(gain_text(column) for column in gain(curve, random).T),
            )
        )
    return Table(
        "Against random",
        ("pool", "encoder", "choice", *_header(lines, settings)),
        tuple(rows),
        "The mean difference from random on the same pool, and the number of seeds in which it is "
        "above 0.",
    )


def _cost(
    lines: Sequence[Curve], encoders: Sequence[str], default: str, settings: BudgetSettings
) -> Table:
    rows = []
    for encoder in encoders:
        for strategy in (default, RANDOM):
            clean = find(lines, "clean", encoder, strategy)
            for way in (strategy, f"{strategy} + usability", f"{strategy} + truth"):
                curve = find(lines, "artefacts", encoder, way)
                if clean is None or curve is None:
                    continue
                difference = gain(curve, clean)
                rows.append(
                    (
                        _words(encoder),
                        way,
                        *(f"{column.mean():+.3f}" for column in difference.T),
                    )
                )
    return Table(
        "What artefacts cost",
        ("encoder", "choice", *_header(lines, settings)),
        tuple(rows),
        "The mean difference of a choice from the pool with artefacts and the same strategy's "
        f"choice from the clean pool. {settings.artefact_share:.0%} of the pool is spoilt; a "
        "spoilt image costs a label and teaches nothing.",
    )


def _wasted(lines: Sequence[Curve], settings: BudgetSettings) -> Table:
    rows = tuple(
        (
            _words(curve.encoder),
            curve.way,
            *(f"{share:.1%}" for share in (curve.wasted / curve.budgets).mean(axis=0)),
        )
        for curve in lines
        if curve.condition == "artefacts"
    )
    return Table(
        "Labels that teach nothing",
        ("encoder", "choice", *_header(lines, settings)),
        rows,
        f"The share of the labels that are spent on spoilt images; {settings.artefact_share:.0%} "
        "of the pool are spoilt.",
    )


def _usability_table(found: Sequence[UsabilityResult]) -> Table:
    rows = []
    for condition, encoder in dict.fromkeys((one.condition, one.encoder) for one in found):
        own = [one for one in found if (one.condition, one.encoder) == (condition, encoder)]
        rows.append(
            (
                condition,
                _words(encoder),
                "not spoilt",
                f"{np.mean([one.clean_flagged for one in own]):.1%}",
            )
        )
        for kind in dict.fromkeys(kind for one in own for kind in one.flagged):
            shares = [one.flagged[kind] for one in own if kind in one.flagged]
            rows.append((condition, _words(encoder), kind, f"{np.mean(shares):.1%}"))
    return Table(
        "What usability finds",
        ("pool", "encoder", "images", "found unusable"),
        tuple(rows),
        "The share of the images that are found unusable, mean over the seeds, by kind of "
        "artefact.",
    )


def _headline(
    lines: Sequence[Curve], encoders: Sequence[str], default: str, settings: BudgetSettings
) -> str:
    notes = []
    for encoder in encoders:
        for condition, way in (("clean", default), ("artefacts", f"{default} + usability")):
            curve = find(lines, condition, encoder, way)  # type: ignore[arg-type]
            random = find(lines, condition, encoder, RANDOM)  # type: ignore[arg-type]
            if curve is None or random is None:
                continue
            difference = gain(curve, random)[:, :2]
            pool = "the clean pool" if condition == "clean" else "the pool with artefacts"
            notes.append(
                f"{_words(encoder)}, {pool}: {way} less random at the smallest budgets "
                f"{', '.join(gain_text(column) for column in difference.T)}"
            )
    if not notes:
        return "Neither the default strategy nor random was among those compared."
    return "; ".join(notes) + ". In brackets: seeds in which it is above random."


def _warnings(
    results: Sequence[BudgetResult | UsabilityResult],
    images: LabelledImages,
    settings: BudgetSettings,
) -> tuple[str, ...]:
    notes = []
    done = len({one.seed for one in results})
    if done < len(settings.seeds):
        notes.append(f"{done} of {len(settings.seeds)} seeds are done; the others are to come.")
    if images.groups is None:
        notes.append(
            "No groups are known; images of one patient or slide may lie on both sides of the "
            "split, which flatters every figure."
        )
    if images.skipped:
        notes.append(f"{images.skipped} files could not be read and were left out.")
    least = settings.least_per_class * len(images.classes)
    raised = {
        share
        for one in results
        if isinstance(one, BudgetResult)
        for share, number in zip(settings.budgets, one.budgets)
        if number == least
    }
    if raised:
        notes.append(
            f"Budgets of {', '.join(f'{share:.4g}' for share in sorted(raised))} of the pool were "
            f"raised to {least} labels, {settings.least_per_class} a class."
        )
    return tuple(notes)
