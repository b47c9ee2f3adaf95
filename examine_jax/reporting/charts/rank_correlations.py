"""A heat map of the rank correlations between valuers."""

from collections.abc import Sequence

import matplotlib
import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.reporting.charts.drawing import INK, MUTED, label, new_figure, png, style

# Purple for agreement, orange for disagreement, white between: distinct to colour-blind readers.
_COLOURS = matplotlib.colormaps["PuOr"]


def rank_correlation_map(names: Sequence[str], correlation: Float[np.ndarray, "v v"]) -> bytes:
    """The rank correlation of each pair of valuers.

    Args:
        names: the valuers' names.
        correlation: [V, V] in [-1, 1]; cells of NaN stay blank.

    Returns:
        A PNG.

    Raises:
        ValueError: there is not one name for each row and column.
    """
    count = len(names)
    if correlation.shape != (count, count) or count == 0:
        raise ValueError(
            f"there are {count} names for correlations of shape {list(correlation.shape)}"
        )
    with style():
        side = max(5.2, 0.52 * count + 1.9)
        figure = new_figure(side, side - 0.5)
        axes = figure.subplots()
        drawn = axes.imshow(correlation, cmap=_COLOURS, vmin=-1, vmax=1)
        for row in range(count):
            for column in range(count):
                value = correlation[row, column]
                if np.isfinite(value):
                    axes.text(
                        column,
                        row,
                        f"{round(float(value), 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}"),
                        ha="center",
                        va="center",
                        fontsize=7.5,
                        color="white" if abs(value) > 0.65 else INK,
                    )
        shown = [label(name, 20) for name in names]
        axes.set_xticks(range(count), shown, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), shown)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28, shrink=0.85)
        bar.set_label("Spearman's rank correlation", color=MUTED)
        bar.outline.set_visible(False)
        axes.set_title("Agreement between valuers")
        return png(figure)
