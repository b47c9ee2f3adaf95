"""Figures on the pages are those of the records."""

import pathlib
import re

import pytest

from benchmarks import figures

PAGES = figures.pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(figures.ROOT)))
def test_pages_hold_the_records_figures(page: pathlib.Path) -> None:
    text = page.read_text()
    assert figures.filled(text, page.name) == text, "run: python -m benchmarks.figures --write"


def test_every_table_is_on_a_page() -> None:
    shown = {
        name
        for page in PAGES
        for _, name in re.findall(r"<!-- (table|figure): (\S+) -->", page.read_text())
    }
    assert figures.TABLES.keys() | figures.FIGURES.keys() == shown


def test_a_changed_figure_is_found() -> None:
    page = (
        "a\n<!-- table: accuracy -->\n| solver |\n<!-- /table -->\n"
        "<!-- figure: knn_memory -->1 MiB<!-- /figure -->\n"
    )
    written = figures.filled(page)
    assert "| `Secular` |" in written
    assert "1 MiB" not in written
    assert figures.filled(written) == written


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<!-- table: accuracy -->\n| solver |\n", "has no end"),
        ("<!-- table: none_such -->\n<!-- /table -->\n", "unknown table 'none_such'"),
        ("<!-- figure: none_such --><!-- /figure -->\n", "unknown figure 'none_such'"),
    ],
)
def test_wrong_markers_are_refused(page: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.filled(page, "page.md")
