"""Runs into rows: means over seeds, the best probe of a sweep, and whether a method learned anything."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from examine_jax.studies.low_resource.classifying import FIGURES
from examine_jax.studies.low_resource.study import RANDOM_INITIALISATION, RunFindings


@dataclasses.dataclass(frozen=True)
class Row:
    """An encoder's figures on a set, one a seed.

    Attributes:
        set_name, name: of the images and of the method or control.
        seeds: in order.
        accuracy, weighted_f1, balanced_accuracy: of the test images, one a seed.
        batch_size, learning_rate: of the best probe; of kNN, the pre-training's batch size and None.
        validation_accuracy: the probe's, by which methods are compared where one is to be named; of kNN, which has none, empty.
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


def knn_row(found: Sequence[RunFindings], set_name: str, name: str, batch_size: int | None) -> Row | None:
    """Of a method at a batch size, or of a control (None); None: there is no such run yet."""
    runs = [one for one in found if (one.set_name, one.name, one.batch_size) == (set_name, name, batch_size)]
    if not runs:
        return None
    right, f1, balanced = (tuple(float(one.figures["knn"][figure]) for one in runs) for figure in FIGURES)
    return Row(set_name, name, tuple(one.seed for one in runs), right, f1, balanced, batch_size)


def probe_row(found: Sequence[RunFindings], set_name: str, name: str) -> Row | None:
    """The probe at the batch size and learning rate that are best by the validation images' accuracy, its mean over seeds.

    Settings that some seed lacks, or at which some probe diverged, are passed over; of equal ones the first is taken. None: there is none.
    """
    runs = [one for one in found if (one.set_name, one.name) == (set_name, name)]
    seeds = tuple(sorted({one.seed for one in runs}))
    tried: dict[tuple[int, float], dict[int, dict[str, float]]] = {}
    for run in runs:
        for probe in run.figures["probes"]:
            if probe["validation_accuracy"] is not None:
                tried.setdefault((probe["batch_size"], probe["learning_rate"]), {})[run.seed] = probe
    whole = {setting: of for setting, of in tried.items() if len(of) == len(seeds)}
    if not whole:
        return None
    best = max(whole, key=lambda setting: sum(one["validation_accuracy"] for one in whole[setting].values()))
    right, f1, balanced = (tuple(float(whole[best][seed][figure]) for seed in seeds) for figure in FIGURES)
    validation = tuple(float(whole[best][seed]["validation_accuracy"]) for seed in seeds)
    return Row(set_name, name, seeds, right, f1, balanced, *best, validation)


def best_probe(rows: Sequence[Row]) -> Row:
    """Of the best validation accuracy, its mean over the seeds.

    Each seed has a split of its own: validation images of one may be test images of another.
    """
    return max(rows, key=lambda row: float(np.mean(row.validation_accuracy)))


def verdict(row: Row, control: Row | None) -> str:
    """'' where the row's accuracy is above random initialisation's by two standard errors of the seeds' differences, else what to print.

    Differences are of the same seed, and so of the same split. One seed has no standard error, and shows nothing.
    """
    if row.name == RANDOM_INITIALISATION:
        return ""
    if control is None:
        return "not judged: no random initialisation"
    both = [seed for seed in row.seeds if seed in control.seeds]
    differences = np.array(
        [row.accuracy[row.seeds.index(seed)] - control.accuracy[control.seeds.index(seed)] for seed in both]
    )
    if len(differences) < 2:
        return "not judged: one seed"
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    mean = float(differences.mean())
    return "" if mean > 0 and mean > 2 * error else "not learned"
