"""Which strategy should choose by default? Many random draws on seeds that no report uses.

python -m benchmarks.quality.selection_rules --features=F.npy --names=NAMES.txt
    --output=benchmarks/results/FILE.json [--groups=G.csv] [--seeds=12] [--draws=6] [--rules=A;B]

NAMES.txt has the image of each row of features, CLASS/FILE a line; G.csv the columns file and
group. The split, the budgets and the classifier are those of the budget study, the seeds are 100
and up: the study reports seeds 0 to 9. Each rule is compared with the mean of several random
choices from the same pool, which is less noisy than one, and with each of them: in what share does
it do better? Standard errors are over the seeds.
"""

import csv
import json
import pathlib

import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.labelled.splits import stratified_split
from examine_jax.selection import (
    FacilityLocation,
    KCentre,
    KMeansMedoids,
    MaxHerding,
    ProbCover,
    Strategy,
    TypiClust,
    select,
)
from examine_jax.studies.budget.classifier import Exam, standardised
from examine_jax.studies.budget.pools import budgets
from examine_jax.studies.budget.settings import BudgetSettings

_FEATURES = flags.DEFINE_string("features", None, "Features of all images.", required=True)
_NAMES = flags.DEFINE_string("names", None, "CLASS/FILE of each row.", required=True)
_GROUPS = flags.DEFINE_string("groups", None, "A CSV file with the columns file and group.")
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_SEEDS = flags.DEFINE_integer("seeds", 12, "Seeds, from 100 on.")
_RULES = flags.DEFINE_string("rules", None, "Names of rules, separated by ;. None: all.")
_DRAWS = flags.DEFINE_integer("draws", 6, "Random choices a seed.")


def rules(pool: np.ndarray) -> dict[str, Strategy]:
    """The strategies on standardised features, and MaxHerding by the pool's own distances."""
    some = standardised(pool, pool)[0][np.random.default_rng(0).permutation(len(pool))[:500]]
    squares = np.square(some).sum(axis=1)
    apart = squares[:, None] + squares - 2 * some @ some.T
    middle = float(np.sqrt(np.median(apart[np.triu_indices(len(some), 1)])))
    return {
        "k_means_medoids": KMeansMedoids(),
        "k_means_medoids, l2": KMeansMedoids(preprocessing="l2"),
        "facility_location": FacilityLocation(preprocessing="zscore"),
        "typiclust": TypiClust(preprocessing="zscore"),
        "max_herding, half the median distance": MaxHerding("zscore", width=middle / 2),
        "max_herding, the median distance": MaxHerding("zscore", width=middle),
        "prob_cover": ProbCover(preprocessing="zscore"),
        "k_centre": KCentre(preprocessing="zscore"),
    }


def main(arguments: list[str]) -> None:
    del arguments
    features = np.load(_FEATURES.value).astype(np.float64)
    names = pathlib.Path(_NAMES.value).read_text().split()
    classes, labels = np.unique([name.split("/")[0] for name in names], return_inverse=True)
    groups = None
    if _GROUPS.value:
        with open(_GROUPS.value, newline="") as file:
            group_of = {row["file"]: row["group"] for row in csv.DictReader(file)}
        groups = np.array([group_of[name] for name in names])
    settings = BudgetSettings()
    shares = (1 - settings.test_share, settings.test_share)
    found: dict[str, list[list[float]]] = {}
    random: list[list[list[float]]] = []
    for seed in range(100, 100 + _SEEDS.value):
        pool, test = stratified_split(classes[labels], groups, shares=shares, seed=seed)
        own, held_out = standardised(features[pool], features[test])
        numbers = budgets(len(pool), len(classes), settings)
        usable = np.ones(len(pool), bool)
        exam = Exam(own, labels[pool], usable, held_out, labels[test], len(classes), 1.0)
        draws = np.random.default_rng(seed)
        orders = [draws.permutation(len(pool)) for _ in range(_DRAWS.value)]
        random.append([[exam.balanced_accuracy(o[:k]) for o in orders] for k in numbers])
        known = rules(features[pool])
        for name in _RULES.value.split(";") if _RULES.value else known:
            strategy = known[name]
            chosen = {k: select(features[pool], k, strategy=strategy, key=seed) for k in numbers}
            found.setdefault(name, []).append(
                [exam.balanced_accuracy(chosen[k].indices) for k in numbers]
            )
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record(found, random), indent=1) + "\n")
        print("seed", seed, flush=True)


def record(
    found: dict[str, list[list[float]]], random: list[list[list[float]]]
) -> dict[str, object]:
    """Of each rule and budget the mean difference from random, its error, the share above."""
    drawn = np.array(random)
    table = {}
    for name, values in found.items():
        gains = np.array(values) - drawn.mean(axis=2)
        above = (np.array(values)[:, :, None] > drawn).mean(axis=(0, 2))
        error = gains.std(axis=0) / np.sqrt(len(gains))
        table[name] = {
            "gain": gains.mean(axis=0).round(4).tolist(),
            "error": error.round(4).tolist(),
            "above_random": above.round(3).tolist(),
        }
    return {
        "shares": BudgetSettings().budgets,
        "seeds": len(drawn),
        "random": drawn.mean(axis=(0, 2)).round(4).tolist(),
        "rules": table,
    }


if __name__ == "__main__":
    app.run(main)
