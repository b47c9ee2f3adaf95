"""The running times of valuers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker

from examine_jax.reporting.charts.drawing import BLUE, INK, label, new_figure, plain, png, style


def running_time_chart(seconds: Mapping[str, Sequence[float]]) -> bytes:
    """The seconds of each valuer on a logarithmic axis: a bar to the median, a dot a seed.

    Args:
        seconds: by valuer, the seconds of each seed. The fastest valuer is on top.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no valuer, or a valuer lacks positive times.
    """
    if not seconds or any(len(times) == 0 or min(times) <= 0 for times in seconds.values()):
        raise ValueError("every valuer needs at least one time, above zero")
    order = sorted(seconds, key=lambda name: float(np.median(seconds[name])))
    with style():
        figure = new_figure(6.4, 0.34 * len(order) + 1.2)
        axes = figure.subplots()
        least = min(min(times) for times in seconds.values())
        start = 10.0 ** np.floor(np.log10(least))
        for row, name in enumerate(order):
            middle = float(np.median(seconds[name]))
            axes.barh(row, middle - start, left=start, height=0.62, color=BLUE, alpha=0.8)
            axes.scatter(
                seconds[name],
                np.full(len(seconds[name]), row),
                s=12,
                color=INK,
                linewidths=0,
                zorder=3,
            )
            axes.annotate(
                duration_text(middle),
                (max(*seconds[name], middle), row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
        axes.set_xscale("log")
        axes.set_xlim(start, 6 * max(max(times) for times in seconds.values()))
        axes.xaxis.set_major_locator(ticker.LogLocator(numticks=10))
        axes.xaxis.set_major_formatter(plain)
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.set_yticks(range(len(order)), [label(name, 24) for name in order])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.set(xlabel="seconds (bar: median, dots: seeds)", title="Running time")
        return png(figure)


def duration_text(seconds: float) -> str:
    """A duration with three digits: seconds below 2 minutes, minutes below 2 hours, else hours."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
