"""Methods beside each other: a line each, a dot a seed, a bar at their mean; a panel a task."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker

from examine_jax.reporting.charts.drawing import BLUE, INK, MUTED, label, new_figure, png, style


def method_dot_plot(panels: Mapping[str, Mapping[str, Sequence[float]]], reference: str, axis: str) -> bytes:
    """A PNG of `panels`: by task and method the figures of the seeds; the same methods in each, the first on top. A nan, a seed that
    diverged, has no dot.

    A dashed line stands at the mean of `reference`, in grey as all controls' dots up to and with it are.

    Raises:
      ValueError: no panel, or panels of different methods.
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
            axes.axvline(float(np.nanmean(methods[reference])), color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
            for place, values in enumerate(methods.values()):
                control = place <= names.index(reference)
                colour = MUTED if control else BLUE
                axes.plot(
                    values, np.full(len(values), place), "o", color=colour, markersize=4, alpha=0.7, markeredgewidth=0
                )
                ended = [value for value in values if np.isfinite(value)]
                if not ended:
                    continue
                mean = float(np.mean(ended))
                axes.plot([mean, mean], [place - 0.3, place + 0.3], color=INK, linewidth=1.4, solid_capstyle="butt")
            axes.set_title(label(title, 22), fontsize=9)
            axes.set_xlabel(axis)
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
            axes.grid(axis="x")
        row[0].set_yticks(range(len(names)), [label(name, 28) for name in names])
        return png(figure)
