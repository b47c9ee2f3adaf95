"""Reading records, and the form of cells."""

import csv
import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def read_json(name: str) -> Any:
    return json.loads((RESULTS / name).read_text())


def read_csv(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def table(titles: Sequence[str], rows: Iterator[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def mean_and_deviation(values: Sequence[float], digits: int = 3) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def mean_and_error(values: Sequence[float], digits: int = 3) -> str:
    return (
        f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"
    )


def span(values: Sequence[float], digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def code(name: str) -> str:
    """Names of methods and valuers are code; names of controls are words."""
    return (
        f"`{name}`"
        if re.fullmatch(r"[a-z0-9_]+", name) and name not in {"untrained", "random"}
        else name
    )
