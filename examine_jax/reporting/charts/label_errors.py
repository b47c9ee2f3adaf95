"""How soon each valuer finds wrong labels."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.lines import Line2D

from examine_jax.evaluation.curves import RANDOM
from examine_jax.evaluation.label_errors import LabelErrorCurve
from examine_jax.reporting.charts.drawing import MUTED, label, new_figure, png, style
from examine_jax.reporting.charts.seed_bands import draw_band, finish_axes, mean_sd_text


def label_error_chart(found: Mapping[str, Sequence[LabelErrorCurve]]) -> bytes:
    """The share of wrong labels found against the share of images inspected, lowest value first.

    A dashed diagonal shows a random order.

    Args:
        found: by valuer, a curve a seed.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no valuer.
    """
    if not found:
        raise ValueError("there is no valuer to draw; give at least one")
    with style():
        figure = new_figure(5.6, 4.2)
        axes = figure.subplots()
        handles: dict[str, Line2D] = {}
        for name, seeds in found.items():
            place = np.linspace(0, 1, 201)
            heights = np.stack([np.interp(place, one.inspected, one.found) for one in seeds])
            handles[name] = draw_band(
                axes, place, heights, name, [name for name in found if name != RANDOM]
            )
        handles["by chance"] = axes.plot(
            [0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3))
        )[0]
        axes.set(
            title="Wrong labels",
            xlabel="share of images inspected, lowest value first",
            ylabel="share of wrong labels found",
        )
        axes.set_ylim(0, 1.02)
        finish_axes(axes)
        figure.legend(
            handles.values(), [label(name, 32) for name in handles], loc="outside right upper"
        )
        return png(figure)


def label_error_rows(
    found: Mapping[str, Sequence[LabelErrorCurve]],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The header and rows of a table of areas under the ROC curve, a row a valuer.

    A row holds the mean and standard deviation over seeds, and in how many seeds the area is above
    one half.
    """
    rows = []
    for name, seeds in found.items():
        areas = np.array([one.auroc for one in seeds])
        rows.append((name, mean_sd_text(areas), f"{(areas > 0.5).sum()} of {len(areas)}"))
    return ("valuer", "AUROC", "seeds above one half"), tuple(rows)
