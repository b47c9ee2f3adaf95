"""Scores or gaps by noise level, for one or several encoders (EXAMINE, Fig. 2)."""

from collections.abc import Mapping

import numpy as np
from matplotlib import ticker

from examine_jax.common.shapes import Float
from examine_jax.reporting.charts.drawing import (
    INK,
    MINUS,
    label,
    level_colours,
    new_figure,
    png,
    style,
)

_COLUMNS = 3
_MOST_DOTS = 500  # for each level


def noise_level_panels(
    gaps: Mapping[str, Float[np.ndarray, " n"]],
    levels: Mapping[str, Float[np.ndarray, " n"]],
    *,
    score: bool = False,
) -> bytes:
    """Each image's gap or score by noise level, with median and quartiles; a panel an encoder.

    Gaps are drawn as a share of the encoder's largest gap, because features differ in scale.

    Args:
        gaps, levels: by encoder, the gap and the noise level of each image.
        score: whether to draw the score exp(-gap) instead of the gap.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no encoder, or there is not one level a gap.
    """
    if not gaps or any(gaps[name].shape != levels[name].shape for name in gaps):
        raise ValueError(
            "every encoder needs a level for each gap, and there must be one encoder at least"
        )
    across = min(_COLUMNS, len(gaps))
    down = -(-len(gaps) // across)
    with style():
        figure = new_figure(max(5.0, 2.75 * across), 2.6 * down + 0.3)
        panels = figure.subplots(down, across, squeeze=False, sharey=True)
        for axes in panels.ravel()[len(gaps) :]:
            axes.set_visible(False)
        for place, (axes, (name, gap)) in enumerate(zip(panels.ravel(), gaps.items())):
            level = levels[name]
            values = (
                np.exp(-gap) if score else gap / max(float(gap.max()), np.finfo(np.float64).tiny)
            )
            kinds = np.unique(level)
            for column, (kind, colour) in enumerate(zip(kinds, level_colours(len(kinds)))):
                of_kind = np.sort(values[level == kind])
                dots = of_kind[
                    np.linspace(0, len(of_kind) - 1, min(len(of_kind), _MOST_DOTS)).astype(np.int64)
                ]
                # Offsets by the golden ratio: even, and the same in every run.
                offset = ((np.arange(len(dots)) * 0.618034) % 1.0 - 0.5) * 0.6
                axes.scatter(column + offset, dots, s=4, color=[colour], alpha=0.45, linewidths=0)
                low, middle, high = np.quantile(of_kind, [0.25, 0.5, 0.75])
                axes.vlines(column, low, high, color=INK, linewidth=1.0, zorder=3)
                axes.hlines(
                    middle, column - 0.34, column + 0.34, color=INK, linewidth=1.6, zorder=3
                )
            axes.set_xticks(
                range(len(kinds)), ["clean" if kind == 0 else f"{kind:g}" for kind in kinds]
            )
            axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
            axes.grid(axis="y")
            axes.set_title(label(name, 28))
            axes.tick_params(axis="y", labelleft=place % across == 0)
        figure.supxlabel("noise level δ (bar: median, line: quartiles)", fontsize=9.5, color=INK)
        figure.supylabel(
            f"score, exp({MINUS}gap)" if score else "gap, as a share of the largest",
            fontsize=9.5,
            color=INK,
        )
        return png(figure)
