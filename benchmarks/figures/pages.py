"""Pages, and the tables and figures on them."""

import pathlib
import re
from collections.abc import Callable

from benchmarks.figures import (
    clusters,
    detection,
    encoders,
    jobs,
    lora,
    noise,
    scoring,
    selection,
    slides,
    studies,
    transfer,
    values,
)
from benchmarks.figures.cells import ROOT

_TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)
_FIGURE = re.compile(r"(<!-- figure: (\S+) -->)[^\n]*?(<!-- /figure -->)")
_OPENING = re.compile(r"<!-- (table|figure): (\S+) -->")

_SUBJECTS = (
    noise,
    encoders,
    values,
    selection,
    studies,
    transfer,
    scoring,
    detection,
    clusters,
    slides,
    jobs,
    lora,
)

TABLES: dict[str, Callable[[], list[str]]] = {
    name: function for subject in _SUBJECTS for name, function in subject.TABLES.items()
}
FIGURES: dict[str, Callable[[], str]] = {
    name: function
    for subject in _SUBJECTS
    for name, function in getattr(subject, "FIGURES", {}).items()
}


def pages(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """README.md and every page of docs/ that is written by hand."""
    generated = {root / "docs" / "_build", root / "docs" / "api"}
    docs = sorted((root / "docs").rglob("*.md"))
    return [root / "README.md", *(page for page in docs if not generated & set(page.parents))]


def filled(text: str, where: str = "") -> str:
    """`text` with every marked table and figure taken from the records.

    Raises:
        ValueError: a marker has no end, or names a table or figure that is not known.
    """
    for found, known, kind in ((_TABLE, TABLES, "table"), (_FIGURE, FIGURES, "figure")):
        opened = [name for opening, name in _OPENING.findall(text) if opening == kind]
        closed = [name for _, name, _ in found.findall(text)]
        if opened != closed:
            raise ValueError(
                f"{where}: a {kind} marker has no end: "
                f"{sorted(set(opened) - set(closed)) or opened}"
            )
        unknown = sorted(set(opened) - known.keys())
        if unknown:
            raise ValueError(
                f"{where}: unknown {kind} {unknown[0]!r}: choose from {', '.join(sorted(known))}"
            )
    text = _TABLE.sub(
        lambda match: match[1] + "\n".join(TABLES[match[2]]()) + "\n" + match[3], text
    )
    return _FIGURE.sub(lambda match: match[1] + FIGURES[match[2]]() + match[3], text)
