"""The page of the low-resource study: the paper's tables and figures, with its own numbers."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from examine_jax.reporting.charts.t_sne import t_sne_maps
from examine_jax.reporting.page import Illustration, Table
from examine_jax.reporting.study_page import write_study_page
from examine_jax.studies.common.setting_rows import setting_rows
from examine_jax.studies.common.verdict import mean_sd
from examine_jax.studies.low_resource import published
from examine_jax.studies.low_resource.charts import batch_size_chart, imbalance_chart
from examine_jax.studies.low_resource.results import COLOURS, RANDOM_INITIALISATION, RunResults
from examine_jax.studies.low_resource.rows import Row, best_probe, knn_row, probe_row, verdict
from examine_jax.studies.low_resource.set_description import SetDescription
from examine_jax.studies.low_resource.settings import LowResourceSettings
from examine_jax.studies.low_resource.training import trainings

_CONTROLS = (RANDOM_INITIALISATION, COLOURS)
_ALL_CONTROLS = (*_CONTROLS, published.IMAGENET)


def write_page(
    workdir: str | os.PathLike[str],
    results: Sequence[RunResults],
    sets: Mapping[str, SetDescription],
    settings: LowResourceSettings,
    *,
    device: str,
) -> pathlib.Path:
    """Writes low_resource.html, the figures as PNG and the tables as CSV; returns the page's path.

    Args:
        workdir: an existing folder.
        results: of all runs that are done, one at least.
        sets: of all runs in `results`.
        settings: of the study.
        device: where the results were computed, for the reader.

    Raises:
        OSError: a file cannot be written (which).
    """
    workdir = pathlib.Path(workdir)
    names = [name for name in sets if any(one.set_name == name for one in results)]
    ended = [one for one in results if one.diverged is None]
    return write_study_page(
        workdir / "low_resource.html",
        _figures(ended, names, sets, settings),
        _tables(ended, names, settings),
        title="Self-supervision on small medical sets",
        headline=_headline(ended, names, settings),
        summary={
            "seeds": str(len({one.seed for one in results})),
            "trainings": str(sum(one.batch_size is not None for one in ended)),
            "sets": str(len(names)),
            "device": device,
        },
        warnings=_warnings(results, names, sets, settings),
        settings={
            **_described(sets),
            **setting_rows(settings),
        },
    )


def _tables(
    results: Sequence[RunResults], names: Sequence[str], settings: LowResourceSettings
) -> dict[str, Table]:
    best, knn, probe, everything = [], [], [], []
    for set_name in names:
        control = knn_row(results, set_name, RANDOM_INITIALISATION, None)
        for name in (*settings.methods, *_ALL_CONTROLS):
            batch = None if name in _ALL_CONTROLS else settings.table_batch
            row = knn_row(results, set_name, name, batch)
            if row is not None:
                # The paper's are of one batch size.
                theirs = (
                    published.KNN.get((set_name, name)) if batch == published.KNN_BATCH else None
                )
                knn.append((set_name, name, *_cells(row, control, theirs)))
        for name in settings.methods:
            for batch in settings.batch_sizes:
                row = knn_row(results, set_name, name, batch)
                if row is not None:
                    everything.append(
                        (set_name, name, str(batch), *_cells(row, control, None)[:-1])
                    )
        control = probe_row(results, set_name, RANDOM_INITIALISATION)
        for name in (*settings.methods, *_ALL_CONTROLS):
            row = probe_row(results, set_name, name)
            if row is None:
                continue
            probe.append(
                (set_name, name, *_cells(row, control, published.PROBE.get((set_name, name))))
            )
            chosen = published.BEST_SETTINGS.get((set_name, name))
            paper = "" if chosen is None else f"{chosen[0]} ({chosen[1]:g})"
            best.append((set_name, name, f"{row.batch_size} ({row.learning_rate:g})", paper))
    figures = ("accuracy", "weighted F1", "accuracy - F1", "balanced accuracy", "verdict")
    header = ("set", "encoder", *figures, "the paper's accuracy / F1")
    above = (
        "Mean and standard deviation over the seeds. 'Not learned': the mean difference from "
        "random initialisation, seed by seed, is "
        "not above two standard errors. An encoder that does not beat colour statistics has "
        "learned no more than colours."
    )
    return {
        "table_1": Table(
            "Best batch size and learning rate of the probe (table 1)",
            ("set", "encoder", "batch size (learning rate)", "the paper's"),
            tuple(best),
            "Chosen from the learning rates "
            f"{', '.join(f'{rate:g}' for rate in settings.probe_learning_rates)} by the accuracy "
            "on the "
            "validation images, averaged over the seeds. All seeds share one choice: validation "
            "images of one seed, which may be test "
            "images of another, influence it slightly. A control's batch size is that of the probe "
            "alone.",
        ),
        "table_2": Table(
            f"kNN, pre-trained at a batch of {settings.table_batch} (table 2)",
            header,
            tuple(knn),
            f"k = {settings.k}, uniform votes, Euclidean. {above}",
        ),
        "table_3": Table(
            "Two-layer probe at the settings of table 1 (table 3)", header, tuple(probe), above
        ),
        "batch_sizes": Table(
            "kNN by batch size (figure 3)",
            ("set", "encoder", "batch size", *figures),
            tuple(everything),
            above,
        ),
        "sweep": _sweep(results, names, settings),
    }


def _cells(row: Row, control: Row | None, paper: tuple[float, float] | None) -> tuple[str, ...]:
    gap = tuple(one - other for one, other in zip(row.accuracy, row.weighted_f1))
    theirs = "" if paper is None else f"{paper[0]:.3f} / {paper[1]:.3f}"
    figures = (
        mean_sd(values) for values in (row.accuracy, row.weighted_f1, gap, row.balanced_accuracy)
    )
    judged = "control" if row.name in _CONTROLS else verdict(row, control) or "learned"
    return (*figures, judged, theirs)


def _sweep(
    results: Sequence[RunResults], names: Sequence[str], settings: LowResourceSettings
) -> Table:
    rows = []
    for set_name in names:
        for name in (*settings.methods, *_ALL_CONTROLS):
            probes = [
                probe
                for one in results
                if (one.set_name, one.name) == (set_name, name)
                for probe in one.figures["probes"]
            ]
            for batch in sorted({probe["batch_size"] for probe in probes}):
                cells = []
                for rate in settings.probe_learning_rates:
                    own = [
                        one["validation_accuracy"]
                        for one in probes
                        if (one["batch_size"], one["learning_rate"]) == (batch, rate)
                    ]
                    cells.append("diverged" if None in own else mean_sd(own) if own else "")
                rows.append((set_name, name, str(batch), *cells))
    header = (
        "set",
        "encoder",
        "batch size",
        *(f"{rate:g}" for rate in settings.probe_learning_rates),
    )
    return Table(
        "The sweep behind table 1",
        header,
        tuple(rows),
        "Validation accuracy by the probe's learning rate.",
    )


def _figures(
    results: Sequence[RunResults],
    names: Sequence[str],
    sets: Mapping[str, SetDescription],
    settings: LowResourceSettings,
) -> dict[str, Illustration]:
    by_batch: dict[str, dict[str, list[Row]]] = {}
    for set_name in names:
        of = {
            name: [
                row
                for batch in settings.batch_sizes
                if (row := knn_row(results, set_name, name, batch)) is not None
            ]
            for name in settings.methods
        }
        of = {name: rows for name, rows in of.items() if rows}
        if of:
            by_batch[set_name] = of
    controls = {
        set_name: {
            name: row
            for name in _ALL_CONTROLS
            if (row := knn_row(results, set_name, name, None)) is not None
        }
        for set_name in names
    }
    made = {}
    if by_batch:
        made["fig_3"] = Illustration(
            "kNN accuracy by batch size (figure 3)",
            batch_size_chart(
                by_batch,
                controls,
                {key: value[0] for key, value in published.KNN.items()},
                published.KNN_BATCH,
            ),
            "One dot per seed, lines through the means. Stars are the paper's table 2, the only "
            "points that it prints as numbers.",
            "Lines of kNN accuracy over the batch size, a panel a set",
        )
    probes = {
        set_name: [
            row
            for name in (*settings.methods, *_ALL_CONTROLS)
            if (row := probe_row(results, set_name, name))
        ]
        for set_name in names
    }
    probes = {set_name: rows for set_name, rows in probes.items() if rows}
    if probes:
        largest = {name: max(sets[name].classes.values()) / sets[name].images for name in names}
        made["imbalance"] = Illustration(
            "Accuracy minus weighted F1 under imbalance (section 4)",
            imbalance_chart(
                probes, largest, {key: round(a - f, 3) for key, (a, f) in published.PROBE.items()}
            ),
            "Of the probe. The paper takes a small difference as robustness to imbalance. One dot "
            "per seed, a bar at the mean. Stars are "
            "from the paper's table 3.",
            "Differences of accuracy and weighted F1, a panel a set",
        )
    for set_name in names:
        picture = _map(results, set_name, sets[set_name], settings)
        if picture is not None:
            made[f"fig_4_{set_name}"] = picture
    return made


def _map(
    results: Sequence[RunResults],
    set_name: str,
    description: SetDescription,
    settings: LowResourceSettings,
) -> Illustration | None:
    rows = [row for name in settings.methods if (row := probe_row(results, set_name, name))]
    if not rows:
        return None
    best = best_probe(rows)
    seed = best.seeds[0]
    shown = []
    for name, batch in (
        (best.name, best.batch_size),
        (published.IMAGENET, None),
        (RANDOM_INITIALISATION, None),
    ):
        shown += [
            one
            for one in results
            if (one.set_name, one.seed, one.name, one.batch_size) == (set_name, seed, name, batch)
        ]
    features, labels = zip(*(one.test_features() for one in shown))
    if len(labels[0]) < 5:
        return None
    return Illustration(
        f"t-SNE of the test images: {set_name} (figure 4)",
        t_sne_maps(features, [one.name for one in shown], labels[0], list(description.classes)),
        "The method whose probe is best on the validation images, beside the networks it is "
        f"compared with; seed {seed}. "
        "Distances between distant clusters mean nothing in such a map.",
        "Maps of features, coloured by class, a panel an encoder",
    )


def _headline(
    results: Sequence[RunResults], names: Sequence[str], settings: LowResourceSettings
) -> str:
    notes = []
    for set_name in names:
        rows = [row for name in settings.methods if (row := probe_row(results, set_name, name))]
        controls = {
            name: row for name in _ALL_CONTROLS if (row := probe_row(results, set_name, name))
        }
        if not rows:
            continue
        best = best_probe(rows)
        doubt = verdict(best, controls.get(RANDOM_INITIALISATION))
        beside = ", ".join(f"{name} {np.mean(row.accuracy):.3f}" for name, row in controls.items())
        notes.append(
            f"{set_name}: {best.name} has the best probe by the validation images, test accuracy "
            f"{np.mean(best.accuracy):.3f}"
            f"{f' ({doubt})' if doubt else ''}; {beside}"
        )
    return (
        ". ".join(notes) + "." if notes else "So far, controls alone: no method has been trained."
    )


def _warnings(
    results: Sequence[RunResults],
    names: Sequence[str],
    sets: Mapping[str, SetDescription],
    settings: LowResourceSettings,
) -> tuple[str, ...]:
    notes = []
    done = sum(one.batch_size is not None for one in results)
    planned = len(settings.seeds) * sum(len(trainings(set_name, settings)) for set_name in names)
    if done < planned:
        notes.append(
            f"{done} of {planned} trainings on {', '.join(names)} are done; the others are to come."
        )
    for one in results:
        if one.diverged is not None:
            notes.append(
                f"{one.set_name}, seed {one.seed}: {one.name} at a batch of {one.batch_size} "
                f"diverged and is in no table ({one.diverged})."
            )
    for set_name in names:
        if sets[set_name].groups is None:
            notes.append(
                f"{set_name}: no groups are known; images of one patient or slide may lie on both "
                "sides of the split, "
                "which flatters every figure."
            )
        elif not settings.keep_groups:
            notes.append(
                f"{set_name}: groups are split, as in the paper, which flatters every figure."
            )
        if sets[set_name].skipped:
            notes.append(
                f"{set_name}: {sets[set_name].skipped} files could not be read and were left out."
            )
    if len({one.seed for one in results}) < 2:
        notes.append("One seed has no standard error: whether a method learned is not judged.")
    if not any(one.name == published.IMAGENET for one in results):
        notes.append(
            "No ImageNet network was given: the transfer row and the supervised maps are missing."
        )
    if settings.preset == "released_code":
        notes.append(
            "The released code trains its probe with the backbone in training mode; here it is "
            "frozen."
        )
    return tuple(notes)


def _described(sets: Mapping[str, SetDescription]) -> dict[str, object]:
    return {
        f"set {name}": f"{one.images:,} images; "
        + ", ".join(f"{cls} ({count:,})" for cls, count in list(one.classes.items())[:20])
        + (f"; {one.groups:,} groups" if one.groups is not None else "; no groups known")
        for name, one in sets.items()
    }
