"""Curves of adding and removing images in the order of their values: a line a valuer."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from examine_jax.evaluation.curves import CURVE_KINDS, RANDOM, Curve, CurveKind, mean_curve
from examine_jax.reporting.charts.drawing import label, new_figure, png, style
from examine_jax.reporting.charts.seed_bands import draw_band, finish_axes, mean_sd_text

Curves = Mapping[CurveKind, Mapping[str, Sequence[Curve]]]  # by kind and valuer, a curve a seed

TITLES: dict[CurveKind, str] = {
    "add_best": "(a) adding, best first",
    "add_worst": "(b) adding, worst first",
    "remove_best": "(c) removing, best first",
    "remove_worst": "(d) removing, worst first",
}
# Whether good values give a curve above the random order's.
_ABOVE: dict[CurveKind, bool] = {
    "add_best": True,
    "add_worst": False,
    "remove_best": False,
    "remove_worst": True,
}


def valuation_curve_chart(curves: Curves, valuers: Sequence[str], worth: str = "accuracy") -> bytes:
    """The four experiments of EXAMINE's Fig. 3: a panel a kind of curve, a line a valuer.

    Lines are means over seeds; bands show one standard deviation to each side.

    Args:
        curves: the curves of all valuers and of the random order.
        valuers: the valuers to draw; the random order is always drawn too.
        worth: the label of the vertical axis.

    Returns:
        A PNG.

    Raises:
        ValueError: a valuer has no curves, or the curves have different lengths.
    """
    shown = [name for name in valuers if name != RANDOM]
    with style():
        figure = new_figure(7.6, 6.0)
        panels = figure.subplots(2, 2, sharey="row")
        handles: dict[str, Line2D] = {}
        for axes, kind in zip(panels.ravel(), CURVE_KINDS):
            for name in (RANDOM, *shown):
                found = _curves(curves, kind, name)
                mean = mean_curve(found)
                heights = np.stack([curve.worth for curve in found])
                handles[name] = draw_band(axes, mean.counts, heights, name, shown)
            added = kind.startswith("add")
            axes.set(title=TITLES[kind], xlabel=f"images {'added' if added else 'removed'}")
            finish_axes(axes)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        for row in panels:
            row[0].set_ylabel(worth)
        _legend(figure, handles)
        return png(figure)


def valuation_curve_rows(curves: Curves) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The header and rows of a table of the curves' areas (mean heights), a row a valuer.

    A cell holds the mean and standard deviation over seeds, and in how many seeds the valuer's
    curve is on the good side of the random order's.

    Raises:
        ValueError: as `valuation_curve_chart`.
    """
    names = [name for name in next(iter(curves.values())) if name != RANDOM]
    header = (
        "valuer",
        *(f"{TITLES[kind]} ({'high' if _ABOVE[kind] else 'low'} is good)" for kind in CURVE_KINDS),
    )
    rows = []
    for name in (RANDOM, *names):
        cells = [name]
        for kind in CURVE_KINDS:
            areas = np.array([curve.area for curve in _curves(curves, kind, name)])
            chance = np.array([curve.area for curve in _curves(curves, kind, RANDOM)])
            better = (areas > chance) if _ABOVE[kind] else (areas < chance)
            count = "" if name == RANDOM else f" ({better.sum()} of {len(areas)})"
            cells.append(f"{mean_sd_text(areas)}{count}")
        rows.append(tuple(cells))
    return header, tuple(rows)


def _legend(figure: Figure, handles: Mapping[str, Line2D]) -> None:
    figure.legend(
        handles.values(),
        [label(name, 32) for name in handles],
        loc="outside lower center",
        ncols=min(4, len(handles)),
    )


def _curves(curves: Curves, kind: CurveKind, name: str) -> Sequence[Curve]:
    if name not in curves[kind]:
        raise ValueError(f"there are no curves of {name!r}; there are: {', '.join(curves[kind])}")
    return curves[kind][name]
