"""Lines with bands: the mean over the seeds and one standard deviation to each side."""

from collections.abc import Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from examine_jax.common.shapes import Float, Shaped
from examine_jax.evaluation.curves import RANDOM
from examine_jax.reporting.charts.drawing import INK, PALETTE


def draw_band(
    axes: Axes,
    place: Shaped[np.ndarray, " k"],
    heights: Float[np.ndarray, "seeds k"],
    name: str,
    shown: Sequence[str],
) -> Line2D:
    """Draws the mean over seeds of `heights` and one standard deviation to each side.

    Colours follow the order of `shown`; the random order is a dotted line. Returns the line.
    """
    mean = heights.mean(axis=0)
    random = name == RANDOM
    number = 0 if random else list(shown).index(name)
    colour = INK if random else PALETTE[number % len(PALETTE)]
    dashes = (0, (2, 1.5)) if random else "-" if number < len(PALETTE) else (0, (5, 1.5))
    if len(heights) > 1:
        deviation = heights.std(axis=0, ddof=1)
        axes.fill_between(
            place, mean - deviation, mean + deviation, color=colour, alpha=0.13, linewidth=0
        )
    return axes.plot(
        place, mean, color=colour, linewidth=1.6, linestyle=dashes, zorder=2 if random else 3
    )[0]


def finish_axes(axes: Axes) -> None:
    """Sets the ticks, the margins and the grid."""
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(x=0.01)
    axes.grid(axis="y")


def mean_sd_text(values: Float[np.ndarray, " seeds"]) -> str:
    """The mean and, with two seeds or more, the standard deviation: "0.6010 ± 0.0010"."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"
