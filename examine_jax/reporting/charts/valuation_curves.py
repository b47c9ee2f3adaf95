"""Curves of adding and removing images in the order of their values: a line a valuer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from examine_jax.evaluation.curves import CURVE_KINDS, RANDOM, Curve, CurveKind, mean_curve
from examine_jax.reporting.charts.drawing import label, new_figure, png, style
from examine_jax.reporting.charts.seed_bands import band, finish_axes, mean_sd

Curves = Mapping[CurveKind, Mapping[str, Sequence[Curve]]]  # a curve a seed

TITLES: dict[CurveKind, str] = {
    "add_best": "(a) adding, best first",
    "add_worst": "(b) adding, worst first",
    "remove_best": "(c) removing, best first",
    "remove_worst": "(d) removing, worst first",
}
# Where choosing by value should end up: above a random order, or below it.
_ABOVE: dict[CurveKind, bool] = {"add_best": True, "add_worst": False, "remove_best": False, "remove_worst": True}


def valuation_curve_chart(curves: Curves, valuers: Sequence[str], worth: str = "accuracy") -> bytes:
    """The four experiments of EXAMINE's Fig. 3 for these valuers, random always with them: means over the seeds, with bands of one standard
    deviation to each side (none for one seed). PNG.

    Raises:
      ValueError: a valuer without curves, or curves of different lengths.
    """
    shown = [name for name in valuers if name != RANDOM]
    with style():
        figure = new_figure(7.6, 6.0)
        panels = figure.subplots(2, 2, sharey="row")
        handles: dict[str, Any] = {}
        for axes, choosing in zip(panels.ravel(), CURVE_KINDS):
            for name in (RANDOM, *shown):
                found = _curves(curves, choosing, name)
                mean = mean_curve(found)
                heights = np.stack([curve.worth for curve in found])
                handles[name] = band(axes, mean.counts, heights, name, shown)
            added = choosing.startswith("add")
            axes.set(title=TITLES[choosing], xlabel=f"images {'added' if added else 'removed'}")
            finish_axes(axes)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        for row in panels:
            row[0].set_ylabel(worth)
        _legend(figure, handles)
        return png(figure)


def valuation_curve_rows(curves: Curves) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The curves' areas (mean heights) as a table: mean, standard deviation over the seeds, and in how many seeds the valuer is on the
    right side of a random order.

    Raises:
      ValueError: as `valuation_curve_chart`.
    """
    names = [name for name in next(iter(curves.values())) if name != RANDOM]
    header = (
        "valuer",
        *(f"{TITLES[choosing]} ({'high' if _ABOVE[choosing] else 'low'} is good)" for choosing in CURVE_KINDS),
    )
    rows = []
    for name in (RANDOM, *names):
        cells = [name]
        for choosing in CURVE_KINDS:
            areas = np.array([curve.area for curve in _curves(curves, choosing, name)])
            chance = np.array([curve.area for curve in _curves(curves, choosing, RANDOM)])
            better = (areas > chance) if _ABOVE[choosing] else (areas < chance)
            count = "" if name == RANDOM else f" ({better.sum()} of {len(areas)})"
            cells.append(f"{mean_sd(areas)}{count}")
        rows.append(tuple(cells))
    return header, tuple(rows)


def _legend(figure: Any, handles: Mapping[str, Any]) -> None:
    figure.legend(
        handles.values(), [label(name, 32) for name in handles], loc="outside lower center", ncols=min(4, len(handles))
    )


def _curves(curves: Curves, choosing: CurveKind, name: str) -> Sequence[Curve]:
    if name not in curves[choosing]:
        raise ValueError(f"there are no curves of {name!r}; there are: {', '.join(curves[choosing])}")
    return curves[choosing][name]
