"""Curves of choosing data by value, and of finding wrong labels: a line a valuer at the mean over seeds, a band around it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from examine_jax.common.shapes import Float, Shaped
from examine_jax.evaluation.curves import CHOOSINGS, RANDOM, Choosing, Curve, mean_curve
from examine_jax.evaluation.mislabelled import Detection
from examine_jax.reporting.charts.drawing import INK, MUTED, PALETTE, label, new_figure, png, style

Curves = Mapping[Choosing, Mapping[str, Sequence[Curve]]]  # a curve a seed

TITLES: dict[Choosing, str] = {
    "add_best": "(a) adding, best first",
    "add_worst": "(b) adding, worst first",
    "remove_best": "(c) removing, best first",
    "remove_worst": "(d) removing, worst first",
}
# Where choosing by value should end up: above a random order, or below it.
_ABOVE: dict[Choosing, bool] = {"add_best": True, "add_worst": False, "remove_best": False, "remove_worst": True}


def selection_chart(curves: Curves, valuers: Sequence[str], worth: str = "accuracy") -> bytes:
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
        for axes, choosing in zip(panels.ravel(), CHOOSINGS):
            for name in (RANDOM, *shown):
                found = _curves(curves, choosing, name)
                mean = mean_curve(found)
                heights = np.stack([curve.worth for curve in found])
                handles[name] = _line(axes, mean.counts, heights, name, shown)
            added = choosing.startswith("add")
            axes.set(title=TITLES[choosing], xlabel=f"images {'added' if added else 'removed'}")
            _axes(axes)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        for row in panels:
            row[0].set_ylabel(worth)
        _legend(figure, handles)
        return png(figure)


def selection_rows(curves: Curves) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The curves' areas (mean heights) as a table: mean, standard deviation over the seeds, and in how many seeds the valuer is on the
    right side of a random order.

    Raises:
      ValueError: as `selection_chart`.
    """
    names = [name for name in next(iter(curves.values())) if name != RANDOM]
    header = (
        "valuer",
        *(f"{TITLES[choosing]} ({'high' if _ABOVE[choosing] else 'low'} is good)" for choosing in CHOOSINGS),
    )
    rows = []
    for name in (RANDOM, *names):
        cells = [name]
        for choosing in CHOOSINGS:
            areas = np.array([curve.area for curve in _curves(curves, choosing, name)])
            chance = np.array([curve.area for curve in _curves(curves, choosing, RANDOM)])
            better = (areas > chance) if _ABOVE[choosing] else (areas < chance)
            told = "" if name == RANDOM else f" ({better.sum()} of {len(areas)})"
            cells.append(f"{_mean_and_deviation(areas)}{told}")
        rows.append(tuple(cells))
    return header, tuple(rows)


def detection_chart(found: Mapping[str, Sequence[Detection]]) -> bytes:
    """The share of wrong labels that is found by looking at rows from the lowest value up, a detection a seed; beside it the diagonal, a
    random order. PNG.

    Raises:
      ValueError: there is no valuer.
    """
    if not found:
        raise ValueError("there is no valuer to draw; give at least one")
    with style():
        figure = new_figure(5.6, 4.2)
        axes = figure.subplots()
        handles: dict[str, Any] = {}
        for name, detections in found.items():
            place = np.linspace(0, 1, 201)
            heights = np.stack([np.interp(place, one.inspected, one.found) for one in detections])
            handles[name] = _line(axes, place, heights, name, [name for name in found if name != RANDOM])
        handles["by chance"] = axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))[0]
        axes.set(
            title="Wrong labels",
            xlabel="share of images looked at, lowest value first",
            ylabel="share of wrong labels found",
        )
        axes.set_ylim(0, 1.02)
        _axes(axes)
        figure.legend(handles.values(), [label(name, 32) for name in handles], loc="outside right upper")
        return png(figure)


def detection_rows(found: Mapping[str, Sequence[Detection]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The areas under the ROC curve as a table: mean and standard deviation over the seeds, and in how many seeds it is above one half."""
    rows = []
    for name, detections in found.items():
        areas = np.array([one.auroc for one in detections])
        rows.append((name, _mean_and_deviation(areas), f"{(areas > 0.5).sum()} of {len(areas)}"))
    return ("valuer", "AUROC", "seeds above one half"), tuple(rows)


def _line(
    axes: Axes, place: Shaped[np.ndarray, " k"], heights: Float[np.ndarray, "seeds k"], name: str, shown: Sequence[str]
) -> Any:
    mean = heights.mean(axis=0)
    random = name == RANDOM
    number = 0 if random else list(shown).index(name)
    colour = INK if random else PALETTE[number % len(PALETTE)]
    dashes = (0, (2, 1.5)) if random else "-" if number < len(PALETTE) else (0, (5, 1.5))
    if len(heights) > 1:
        spread = heights.std(axis=0, ddof=1)
        axes.fill_between(place, mean - spread, mean + spread, color=colour, alpha=0.13, linewidth=0)
    return axes.plot(place, mean, color=colour, linewidth=1.6, linestyle=dashes, zorder=2 if random else 3)[0]


def _axes(axes: Axes) -> None:
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(x=0.01)
    axes.grid(axis="y")


def _legend(figure: Any, handles: Mapping[str, Any]) -> None:
    figure.legend(
        handles.values(), [label(name, 32) for name in handles], loc="outside lower center", ncols=min(4, len(handles))
    )


def _curves(curves: Curves, choosing: Choosing, name: str) -> Sequence[Curve]:
    if name not in curves[choosing]:
        raise ValueError(f"there are no curves of {name!r}; there are: {', '.join(curves[choosing])}")
    return curves[choosing][name]


def _mean_and_deviation(values: Float[np.ndarray, " seeds"]) -> str:
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"
