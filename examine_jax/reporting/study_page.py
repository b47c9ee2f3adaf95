"""A study's page: figures and tables, each also written to its own file beside the page."""

import os
import pathlib
from collections.abc import Mapping

from examine_jax.common.atomic_files import write_bytes
from examine_jax.reporting.page import Illustration, Report, Table, package_versions, write_report
from examine_jax.reporting.tables import write_table


def write_study_page(
    page: str | os.PathLike[str],
    figures: Mapping[str, Illustration],
    tables: Mapping[str, Table],
    *,
    title: str,
    headline: str,
    summary: Mapping[str, str],
    warnings: tuple[str, ...],
    settings: Mapping[str, object],
    privacy: str = "",
) -> pathlib.Path:
    """Writes the page and, beside it, the figures as PNG and the tables as CSV.

    Args:
        page: the page's path, in an existing folder.
        figures, tables: by file name without suffix, in the order of the page.
        title, headline, summary, warnings, settings, privacy: as in `Report`.

    Returns:
        The page's path.

    Raises:
        OSError: a file cannot be written; the message names it.
    """
    page = pathlib.Path(page)
    for name, figure in figures.items():
        write_bytes(page.with_name(f"{name}.png"), figure.png)
    for name, table in tables.items():
        write_table(page.with_name(f"{name}.csv"), table.header, table.rows)
    report = Report(
        title=title,
        headline=headline,
        summary=summary,
        highest=(),
        lowest=(),
        figures=tuple(figures.values()),
        tables=tuple(tables.values()),
        warnings=warnings,
        settings=settings,
        versions=package_versions(),
        privacy=privacy,
    )
    write_report(page, report)
    return page
