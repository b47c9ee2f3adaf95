"""The learning table from its records: mean and standard error over seeds, and the verdicts.

python -m benchmarks.quality.learning_table RECORDS.json [MORE.json …] [--output=ALL.json]

Records of the same seed and row must be the same; several files make one table with all their rows.
A row has learned if its accuracy is above the untrained encoder's of the same seeds by more than
two standard errors of the differences.
"""

import json
import pathlib
from typing import Any

import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.studies.common.verdict import learned

_OUTPUT = flags.DEFINE_string("output", None, "Where the joined records go.")

COLUMNS = ("knn", "knn_zscored", "knn_euclidean", "rank_correlation")
TITLES = ("kNN, cosine", "kNN, z-scored", "kNN, Euclidean", "noise, rank correlation")


def joined(files: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in files:
        saved = json.loads(pathlib.Path(file).read_text())
        for name in saved.keys() - {"records"}:
            if found.setdefault(name, saved[name]) != saved[name]:
                raise app.UsageError(f"{file}: its {name} differ from the other files'")
        for seed, rows in saved["records"].items():
            # A control may have been measured twice; the first stands.
            found.setdefault("records", {})[seed] = {
                **rows,
                **found.get("records", {}).get(seed, {}),
            }
    return found


def value(record: dict[str, Any], column: str) -> float:
    return record["noise_separation"][column] if column == "rank_correlation" else record[column]


def text(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def has_learned(rows: dict[str, dict[str, Any]], name: str) -> bool:
    """Whether the cosine vote is clearly above the untrained encoder's, over all seeds."""
    own = [seed for seed in rows.values() if name in seed]
    values, control = ([value(seed[row], "knn") for seed in own] for row in (name, "untrained"))
    return learned(values, control) is True


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for own in rows.values() for name in own))
    lines = [
        f"| | {' | '.join(TITLES)} | RankMe | steps | seeds |",
        "|---|" + "---|" * (len(TITLES) + 3),
    ]
    for name in names:
        own = [seed[name] for seed in rows.values() if name in seed]
        cells = [text([value(record, column) for record in own]) for column in COLUMNS]
        note = ""
        if "steps" in own[0] and not has_learned(rows, name):
            note = " (not learned)" if len(own) > 1 else " (one seed)"
        ranks = f"{np.mean([record['rank_me'] for record in own]):.1f}"
        lines.append(
            f"| {name}{note} | {' | '.join(cells)} | {ranks} | {own[0].get('steps', '')} | "
            f"{len(own)} |"
        )
    return lines


def main(files: list[str]) -> None:
    if len(files) < 2:
        raise app.UsageError("name at least one file of records")
    found = joined(files[1:])
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(found, indent=1) + "\n")
    print("\n".join(table(found["records"])))


if __name__ == "__main__":
    app.run(main)
