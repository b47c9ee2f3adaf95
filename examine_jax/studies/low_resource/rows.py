"""Rows of the study's tables: figures by seed, the best probe of a sweep, and the verdict."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from examine_jax.studies.common.verdict import learned
from examine_jax.studies.low_resource.classifying import FIGURES
from examine_jax.studies.low_resource.results import RANDOM_INITIALISATION, RunResults


@dataclasses.dataclass(frozen=True)
class Row:
    """An encoder's figures on a set, one per seed.

    Attributes:
        set_name, name: of the images and of the method or control.
        seeds: in order.
        accuracy, weighted_f1, balanced_accuracy: of the test images, one per seed.
        batch_size, learning_rate: of the best probe; for kNN, the pre-training's batch size and
            None.
        validation_accuracy: of the probe, by which the best method is chosen; empty for kNN.
    """

    set_name: str
    name: str
    seeds: tuple[int, ...]
    accuracy: tuple[float, ...]
    weighted_f1: tuple[float, ...]
    balanced_accuracy: tuple[float, ...]
    batch_size: int | None = None
    learning_rate: float | None = None
    validation_accuracy: tuple[float, ...] = ()


def knn_row(
    results: Sequence[RunResults], set_name: str, name: str, batch_size: int | None
) -> Row | None:
    """Returns the kNN row of a method or a control (batch size None); None if it has not run."""
    runs = [
        one
        for one in results
        if (one.set_name, one.name, one.batch_size) == (set_name, name, batch_size)
    ]
    if not runs:
        return None
    right, f1, balanced = (
        tuple(float(one.figures["knn"][figure]) for one in runs) for figure in FIGURES
    )
    return Row(set_name, name, tuple(one.seed for one in runs), right, f1, balanced, batch_size)


def probe_row(results: Sequence[RunResults], set_name: str, name: str) -> Row | None:
    """Returns the row of the probe with the best validation accuracy, averaged over seeds.

    Skips settings missing or diverged in any seed; the first wins ties; returns None if none
    remain.
    """
    runs = [one for one in results if (one.set_name, one.name) == (set_name, name)]
    seeds = tuple(sorted({one.seed for one in runs}))
    tried: dict[tuple[int, float], dict[int, dict[str, float]]] = {}
    for run in runs:
        for probe in run.figures["probes"]:
            if probe["validation_accuracy"] is not None:
                tried.setdefault((probe["batch_size"], probe["learning_rate"]), {})[run.seed] = (
                    probe
                )
    whole = {setting: of for setting, of in tried.items() if len(of) == len(seeds)}
    if not whole:
        return None
    best = max(
        whole,
        key=lambda setting: sum(one["validation_accuracy"] for one in whole[setting].values()),
    )
    right, f1, balanced = (
        tuple(float(whole[best][seed][figure]) for seed in seeds) for figure in FIGURES
    )
    validation = tuple(float(whole[best][seed]["validation_accuracy"]) for seed in seeds)
    return Row(set_name, name, seeds, right, f1, balanced, *best, validation)


def best_probe(rows: Sequence[Row]) -> Row:
    """Returns the row with the best validation accuracy, averaged over seeds.

    Each seed has its own split: validation images of one seed may be test images of another.
    """
    return max(rows, key=lambda row: float(np.mean(row.validation_accuracy)))


def verdict(row: Row, control: Row | None) -> str:
    """Returns '' if the row is clearly above random initialisation, else the reason to print.

    The accuracies are compared seed by seed (`common.verdict.learned`).
    """
    if row.name == RANDOM_INITIALISATION:
        return ""
    if control is None:
        return "not judged: no random initialisation"
    both = [seed for seed in row.seeds if seed in control.seeds]
    judged = learned(
        [row.accuracy[row.seeds.index(seed)] for seed in both],
        [control.accuracy[control.seeds.index(seed)] for seed in both],
    )
    if judged is None:
        return "not judged: one seed"
    return "" if judged else "not learned"
