"""The files of a valuation: the table of values and the page, each written atomically."""

import base64
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.charts.drawing import BLUE, new_figure, plain, png, style
from examine_jax.reporting.page import package_versions, render
from examine_jax.reporting.tables import write_table
from examine_jax.valuation import FeatureValues, ValueSettings

_SHOWN = 10
_VALUERS_HEADER = (
    "valuer",
    "seconds",
    "fits",
    "lowest",
    "median",
    "highest",
    "typical standard error",
)


@dataclasses.dataclass(frozen=True)
class _Ends:
    valuer: str
    rows: tuple[tuple[str, str, str, str], ...]


@dataclasses.dataclass(frozen=True)
class _Page:
    headline: str
    facts: Mapping[str, str]
    warnings: Sequence[str]
    valuers_header: Sequence[str]
    valuers: Sequence[Sequence[str]]
    figure: str
    ends: Sequence[_Ends]
    settings: Mapping[str, str]
    versions: Mapping[str, str]


def write_values(
    workdir: str | os.PathLike[str],
    found: FeatureValues,
    settings: ValueSettings,
    *,
    names: Sequence[str] | None,
    source: str,
    validation: str,
    device: str,
) -> pathlib.Path:
    """Writes values.csv, standard_errors.csv (of sampled values), config.json and values.html.

    Returns the page's path.

    Args:
        workdir: an existing folder.
        found: the values.
        settings: those of the valuation.
        names: of the images; None: rows have their index alone.
        source: what was valued, for the page.
        validation: the validation set, for the page.
        device: for the page.

    Raises:
        OSError: a file cannot be written.
    """
    workdir = pathlib.Path(workdir)
    _write_columns(
        workdir / "values.csv", {name: one.values for name, one in found.valuations.items()}, names
    )
    sampled = {
        name: one.standard_error
        for name, one in found.valuations.items()
        if one.standard_error is not None
    }
    if sampled:
        _write_columns(workdir / "standard_errors.csv", sampled, names)
    else:  # an earlier run's would describe other values
        (workdir / "standard_errors.csv").unlink(missing_ok=True)
    about = {"source": source, "validation": validation, "settings": dataclasses.asdict(settings)}
    write_text(workdir / "config.json", json.dumps(about, indent=2) + "\n")
    page = workdir / "values.html"
    about_page = _page(found, settings, names, source, validation, device)
    write_text(page, render("valuation.html", {"page": about_page}))
    return page


def _write_columns(
    path: pathlib.Path, columns: Mapping[str, np.ndarray], names: Sequence[str] | None
) -> None:
    count = len(next(iter(columns.values())))
    images = [] if names is None else [names]
    values = [column.tolist() for column in columns.values()]
    header = [*(["image"] if names is not None else []), "index", *columns]
    write_table(path, header, list(zip(*images, range(count), *values, strict=True)))


def _page(
    found: FeatureValues,
    settings: ValueSettings,
    names: Sequence[str] | None,
    source: str,
    validation: str,
    device: str,
) -> _Page:
    rows = len(next(iter(found.valuations.values())).values)
    name_of = (lambda row: names[row]) if names is not None else (lambda row: f"row {row}")
    valuers, ends = [], []
    for name, one in found.valuations.items():
        error = "" if one.standard_error is None else f"{np.median(one.standard_error):.3g}"
        fits = f"{one.diagnostics['fits']:,.0f}" if "fits" in one.diagnostics else ""
        low, middle, high = np.quantile(one.values, [0, 0.5, 1])
        valuers.append(
            (
                name,
                f"{found.seconds[name]:.2f}",
                fits,
                f"{low:.4g}",
                f"{middle:.4g}",
                f"{high:.4g}",
                error,
            )
        )
        order = np.argsort(-one.values, kind="stable")
        pairs = [
            (
                name_of(int(top)),
                f"{one.values[top]:.5g}",
                name_of(int(bottom)),
                f"{one.values[bottom]:.5g}",
            )
            for top, bottom in zip(order[: min(_SHOWN, rows // 2)], order[::-1])
        ]
        ends.append(_Ends(name, tuple(pairs)))
    headline = (
        f"{rows} rows of {source} were valued by {len(found.valuations)} valuers, {validation}."
    )
    facts = {
        "rows": str(rows),
        "valuers": str(len(valuers)),
        "time": f"{sum(found.seconds.values()):.0f} s",
        "device": device,
    }
    if found.classes:
        facts["classes"] = ", ".join(found.classes[:6]) + (" …" if len(found.classes) > 6 else "")
    plain_settings = {
        field.name: str(getattr(settings, field.name))
        for field in dataclasses.fields(settings)
        if field.name != "model"
    }
    model = {
        f"model: {field.name}": str(getattr(settings.model, field.name))
        for field in dataclasses.fields(settings.model)
    }
    return _Page(
        headline,
        facts,
        found.warnings,
        _VALUERS_HEADER,
        valuers,
        _figure(found),
        ends,
        {**plain_settings, **model},
        package_versions(),
    )


def _figure(found: FeatureValues) -> str:
    count = len(found.valuations)
    columns = min(count, 3)
    lines = -(-count // columns)
    with style():
        figure = new_figure(3.2 * columns, 2.2 * lines)
        for place, (name, one) in enumerate(found.valuations.items()):
            axes = figure.add_subplot(lines, columns, place + 1)
            order = np.argsort(one.values, kind="stable")
            rank = np.arange(1, len(order) + 1)
            if one.standard_error is not None:
                low, high = (
                    one.values[order] - one.standard_error[order],
                    one.values[order] + one.standard_error[order],
                )
                axes.fill_between(rank, low, high, color=BLUE, alpha=0.25, linewidth=0)
            axes.plot(rank, one.values[order], color=BLUE, linewidth=1.5)
            axes.set_title(name)
            axes.yaxis.set_major_formatter(plain)
            axes.grid(axis="y")
        figure.supxlabel("rows, lowest value first", fontsize=9)
        return "data:image/png;base64," + base64.b64encode(png(figure)).decode("ascii")
