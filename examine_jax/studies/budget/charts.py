"""Balanced accuracy against labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist

from examine_jax.reporting.charts.drawing import (
    INK,
    PALETTE,
    label,
    new_figure,
    plain,
    png,
    style,
)
from examine_jax.studies.budget.rows import Curve

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)))


def budget_chart(
    curves: Sequence[Curve], conditions: Sequence[str], default: str, random: str
) -> bytes:
    """Draws one encoder's curves: a panel a condition, a line a way. PNG.

    The lines are means over the seeds. The default's and random's have bands of one standard
    deviation; random is dotted. A way that leaves images out has its strategy's colour, dashed.

    Args:
        curves: of one encoder, one at least.
        conditions: the panels.
        default: the default strategy's name.
        random: the name of random choice.
    """
    strategies = list(dict.fromkeys(curve.way.partition(" + ")[0] for curve in curves))
    others = [name for name in strategies if name not in (default, random)]
    colours = {default: PALETTE[0], random: INK}
    colours |= {name: PALETTE[1 + k % (len(PALETTE) - 1)] for k, name in enumerate(others)}
    with style():
        figure = new_figure(4.6 * len(conditions) + 0.6, 5.4)
        panels = figure.subplots(1, len(conditions), squeeze=False, sharey=True)[0]
        for axes, condition in zip(panels, conditions):
            for curve in curves:
                if curve.condition != condition:
                    continue
                strategy, _, left = curve.way.partition(" + ")
                place, mean = curve.budgets.mean(axis=0), curve.accuracy.mean(axis=0)
                number = others.index(strategy) // (len(PALETTE) - 1) if strategy in others else 0
                dashes = _DASHES[number % len(_DASHES)]
                if strategy == random:
                    dashes = (0, (1.2, 1.2))
                if left:
                    dashes = (0, (6, 2)) if left == "usability" else (0, (6, 2, 1, 2))
                strong = strategy in (default, random)
                axes.plot(
                    place,
                    mean,
                    color=colours[strategy],
                    linestyle=dashes,
                    linewidth=2.0 if strong else 1.1,
                    marker="o" if strong and not left else None,
                    markersize=3.5,
                    label=curve.way,
                    zorder=4 if strong else 3,
                )
                if strong and not left and len(curve.seeds) > 1:
                    deviation = curve.accuracy.std(axis=0, ddof=1)
                    axes.fill_between(
                        place,
                        mean - deviation,
                        mean + deviation,
                        color=colours[strategy],
                        alpha=0.12,
                        linewidth=0,
                    )
            axes.set_xscale("log")
            ticks = np.unique(
                np.concatenate(
                    [
                        np.rint(curve.budgets.mean(axis=0))
                        for curve in curves
                        if curve.condition == condition
                    ]
                )
            )
            axes.set_xticks(ticks)
            axes.xaxis.set_major_formatter(plain)
            axes.minorticks_off()
            axes.grid(axis="y")
            axes.set(xlabel="labels", title=label(condition))
        panels[0].set_ylabel("balanced accuracy")
        named: dict[str, Artist] = {}
        for axes in panels:
            for handle, text in zip(*axes.get_legend_handles_labels()):
                named.setdefault(text, handle)
        figure.legend(
            list(named.values()),
            list(named),
            loc="outside lower center",
            ncols=4,
            handlelength=3.6,
        )
        return png(figure)
