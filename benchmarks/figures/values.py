"""What the values of images tell, and what they cost."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.figures.cells import read_csv, read_json, span, table


def values() -> list[str]:
    folder = "2026-11-21-examine-experiments"
    areas = {row["valuer"]: row for row in read_csv(f"{folder}/areas.csv")}
    noise = {
        row["features"]: row["rank correlation"]
        for row in read_csv(f"{folder}/noise_separation_by_valuer.csv")
    }
    wrong = {row["valuer"]: row["AUROC"] for row in read_csv(f"{folder}/wrong_labels.csv")}
    times = {row["valuer"]: row["median time"] for row in read_csv(f"{folder}/running_times.csv")}
    label_free = (
        "examine",
        "facility_location",
        "k_centre",
        "prob_cover",
        "leverage",
        "mahalanobis",
    )
    label_free += ("knn_distance", "typicality", "prototype_distance")
    with_labels = ("loo", "tmc_shapley", "banzhaf", "knn_shapley", "data_oob")
    names = ("random", *label_free, *with_labels)
    if set(names) != areas.keys():
        raise ValueError(f"areas.csv holds other valuers: {sorted(areas.keys() ^ set(names))}")
    titles = (
        "values",
        "labels",
        "(a) ↑",
        "(b) ↓",
        "(c) ↓",
        "(d) ↑",
        "noise, rank correlation",
        "wrong labels, AUROC",
        "time",
    )

    def rows() -> Iterator[Sequence[str]]:
        for name in names:
            columns = [column for column in areas[name] if column != "valuer"]
            found = [
                re.fullmatch(r"(\S+) ± \S+(?: \((\d+) of 5\))?", areas[name][column])
                for column in columns
            ]
            cells = [
                f"{float(one[1]):.3f}" + (f" ({one[2]})" if one[2] else "") for one in found if one
            ]
            noisy = f"{float(noise[name]):.2f}" if name in noise else ""
            mislabelled = f"{float(wrong[name].split()[0]):.2f}" if name in wrong else ""
            yield (
                "random order" if name == "random" else f"`{name}`",
                "yes" if name in with_labels else "",
                *cells,
                noisy,
                mislabelled,
                times.get(name, ""),
            )

    return table(titles, rows())


def mislabelled() -> list[str]:
    titles = ("probe on", "self-influence", "loss at the end", "random")

    def rows() -> Iterator[Sequence[str]]:
        for probe in read_json("2026-11-21-mislabelled.json"):
            features = probe["what"].partition("flipped; ")[2].partition(", z-scored")[0]
            found = (
                [seed[name]["precision_at_10"] for seed in probe["seeds"]]
                for name in ("self-influence", "loss", "random")
            )
            yield features, *(span(one, 2) for one in found)

    return table(titles, rows())


def valuation_speed() -> list[str]:
    found = read_json("2026-11-21-valuation.json")["results"]
    titles = (
        "values",
        "fits",
        "time",
        "than a loop of scikit-learn fits",
        "largest difference of an accuracy",
    )
    names = {
        "examine": "EXAMINE",
        "loo": "LOO",
        "tmc_shapley": "TMC-Shapley, 100 permutations, nothing cut",
    }

    def rows() -> Iterator[Sequence[str]]:
        for key, name in names.items():
            one = found[key]
            cells = ["", ""]
            if "times_faster" in one:
                faster = (
                    f"{one['times_faster']:.0f} times faster, "
                    f"{one['times_less_cpu']:.0f} times in CPU time"
                )
                cells = [faster, f"{one['largest_difference_of_a_worth']:.0e}"]
            yield name, f"{int(one['fits']):,}", f"{one['seconds']:.3g} s", *cells

    return table(titles, rows())


def _area(valuer: str, panel: str) -> str:
    row = next(
        row
        for row in read_csv("2026-11-21-examine-experiments/areas.csv")
        if row["valuer"] == valuer
    )
    return next(
        f"{float(cell.split()[0]):.3f}"
        for column, cell in row.items()
        if column.startswith(f"({panel})")
    )


def _wrong_labels(valuer: str) -> str:
    found = read_csv("2026-11-21-examine-experiments/wrong_labels.csv")
    return next(f"{float(row['AUROC'].split()[0]):.2f}" for row in found if row["valuer"] == valuer)


def _neighbours(name: str) -> Any:
    return read_json("2026-11-22-nearest-neighbours.json")[name]


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function
    for function in (
        values,
        mislabelled,
        valuation_speed,
    )
}

FIGURES: dict[str, Callable[[], str]] = {
    "area_a_examine": lambda: _area("examine", "a"),
    "area_a_random": lambda: _area("random", "a"),
    "area_a_facility_location": lambda: _area("facility_location", "a"),
    "wrong_labels_examine": lambda: _wrong_labels("examine"),
    "wrong_labels_data_oob": lambda: _wrong_labels("data_oob"),
    "knn_cpu_seconds": lambda: f"{_neighbours('whole_cpu_seconds'):.0f} s",
    "knn_memory": lambda: f"{_neighbours('peak_mib_beyond_before'):.0f} MiB",
    "knn_distances_memory": lambda: f"{_neighbours('distances_mib') / 1024:.0f} GiB",
    "knn_scikit_learn_ratio": lambda: span(_neighbours("scikit_learn_over_examine_jax"), 2),
}
