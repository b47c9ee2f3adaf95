"""A comparison of methods: a row a method, a dot a seed, a bar at their mean."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker

from examine_jax.reporting.charts.drawing import BLUE, INK, MUTED, label, new_figure, png, style


def method_dot_plot(
    panels: Mapping[str, Mapping[str, Sequence[float]]], reference: str, axis: str
) -> bytes:
    """Results of methods on tasks: a panel a task, a row a method, a dot a seed.

    A dashed line marks the mean of `reference`. The methods up to and including it are controls and
    are grey.

    Args:
        panels: by task and method, the result of each seed; NaN, a seed that diverged, has no dot.
            All tasks have the same methods; the first is on top.
        reference: a method's name.
        axis: the label of the horizontal axes.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no panel, panels have different methods, or `reference` is not one.
    """
    if not panels:
        raise ValueError("there is nothing to draw")
    names = list(next(iter(panels.values())))
    if any(list(methods) != names for methods in panels.values()) or reference not in names:
        raise ValueError(f"every panel needs the same methods, {reference} among them")
    with style():
        figure = new_figure(1.9 + 1.75 * len(panels), 0.9 + 0.3 * len(names))
        row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, methods) in zip(row, panels.items()):
            axes.axvline(
                float(np.nanmean(methods[reference])),
                color=MUTED,
                linewidth=0.8,
                linestyle=(0, (4, 3)),
            )
            for place, values in enumerate(methods.values()):
                control = place <= names.index(reference)
                colour = MUTED if control else BLUE
                axes.plot(
                    values,
                    np.full(len(values), place),
                    "o",
                    color=colour,
                    markersize=4,
                    alpha=0.7,
                    markeredgewidth=0,
                )
                ended = [value for value in values if np.isfinite(value)]
                if not ended:
                    continue
                mean = float(np.mean(ended))
                axes.plot(
                    [mean, mean],
                    [place - 0.3, place + 0.3],
                    color=INK,
                    linewidth=1.4,
                    solid_capstyle="butt",
                )
            axes.set_title(label(title, 22), fontsize=9)
            axes.set_xlabel(axis)
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
            axes.grid(axis="x")
        row[0].set_yticks(range(len(names)), [label(name, 28) for name in names])
        return png(figure)
