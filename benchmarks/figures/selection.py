"""Which images to label."""

import json
from collections.abc import Callable, Iterator, Sequence

from benchmarks.figures.cells import RESULTS, read_csv, table


def first_labels() -> list[str]:
    """Balanced accuracy after labelling by each order, on clean pools."""
    names = {"random": "random", "examine": "EXAMINE, rank 1 first"} | {
        "facility_location": "facility location",
        "k_means_medoids": "k-means medoids (the default)",
    }
    sets = {
        name: {row["choice"]: row for row in read_csv(f"2026-11-30-first-labels/{name}/curves.csv")}
        for name in ("histology", "dermoscopy")
    }

    def accuracies(row: dict[str, str]) -> str:
        return ", ".join(cell for column, cell in row.items() if "%" in column)

    titles = ("order", "histology, 5 classes", "dermoscopy, 7 classes")
    return table(
        titles,
        (
            (shown, *(accuracies(rows[choice]) for rows in sets.values()))
            for choice, shown in names.items()
        ),
    )


def selection_rules() -> list[str]:
    """What each rule gains over random on seeds that no report uses, by set and budget."""
    return _rules("2026-11-30-selection-rules")


def selection_rules_of_20_seeds() -> list[str]:
    """The same of the default and the two rules that were ahead of it, on more seeds."""
    return _rules("2026-11-30-selection-rules-20-seeds")


def _rules(folder: str) -> list[str]:
    found = {}
    for path in sorted((RESULTS / folder).glob("*.json")):
        found[path.stem.replace("_", "-")] = json.loads(path.read_text())
    first = next(iter(found.values()))
    titles = [
        f"{name}, {share:.0%}" for name, record in found.items() for share in record["shares"]
    ]

    def rows() -> Iterator[Sequence[str]]:
        for rule in first["rules"]:
            cells = []
            for record in found.values():
                own = record["rules"][rule]
                pairs = zip(own["gain"], own["above_random"])
                cells += [f"{gain:+.3f} ({above:.0%})" for gain, above in pairs]
            yield [rule, *cells]

    return table(("rule", *titles), rows())


def budget_histology() -> list[str]:
    return _budget("2026-11-30-selection/histology")


def budget_dermoscopy() -> list[str]:
    return _budget("2026-11-30-selection/dermoscopy")


def budget_x_ray() -> list[str]:
    return _budget("2026-11-30-selection/x_ray")


def _budget(folder: str) -> list[str]:
    """Random's accuracy, and what every other choice is above it on the same pool."""
    gains = {
        tuple(row[column] for column in ("pool", "encoder", "choice")): row
        for row in read_csv(f"{folder}/against_random.csv")
    }
    found = read_csv(f"{folder}/curves.csv")
    budgets = [column for column in found[0] if "%" in column]
    encoders = {"given": "`simclr`"}

    def rows() -> Iterator[Sequence[str]]:
        for row in found:
            key = tuple(row[column] for column in ("pool", "encoder", "choice"))
            encoder = encoders.get(row["encoder"], row["encoder"])
            yield (row["pool"], encoder, row["choice"], *(gains.get(key, row)[b] for b in budgets))

    return table(("pool", "encoder", "choice", *budgets), rows())


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function
    for function in (
        first_labels,
        selection_rules,
        selection_rules_of_20_seeds,
        budget_histology,
        budget_dermoscopy,
        budget_x_ray,
    )
}
