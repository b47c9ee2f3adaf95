"""Balanced accuracy and AUROC against the share of labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from examine_jax.reporting.charts.drawing import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    VERMILLION,
    label,
    new_figure,
    png,
    style,
)
from examine_jax.studies.transfer.results import COLOURS, RANDOM, SELF
from examine_jax.studies.transfer.rows import METRICS, Row, use_in_words

# Of an encoder from elsewhere, by its use.
_USES = {
    "frozen": BLUE,
    "adapted": VERMILLION,
    "fine_tuned": GREEN,
    "adapted_fine_tuned": PURPLE,
}


def share_chart(panels: Mapping[str, Sequence[Row]]) -> bytes:
    """Draws figures against the labels: a column an encoder from elsewhere, a row a metric. PNG.

    A line is the mean over the seeds. A bar is the interval over the held-out images, averaged over
    the seeds. Encoders from elsewhere have colours, networks from scratch are black or orange,
    controls are grey and dotted.

    Args:
        panels: by encoder, the rows of its panels.

    Raises:
        ValueError: there is no panel.
    """
    if not panels:
        raise ValueError("there is no encoder to draw; finish one run at least")
    with style():
        figure = new_figure(max(6.4, 4.6 * len(panels) + 0.8), 7.6)
        grid = figure.subplots(len(METRICS), len(panels), squeeze=False, sharex=True, sharey="row")
        named: dict[str, Artist] = {}
        for column, (encoder, rows) in zip(grid.T, panels.items()):
            for axes, metric in zip(column, METRICS):
                _panel(axes, rows, metric)
            column[0].set_title(label(encoder))
            column[-1].set_xlabel("labels")
            for handle, text in zip(*column[0].get_legend_handles_labels()):
                named.setdefault(text, handle)
        for axes, words in zip(grid[:, 0], METRICS.values()):
            axes.set_ylabel(words)
        figure.legend(
            list(named.values()),
            list(named),
            loc="outside lower center",
            ncols=2 if len(panels) == 1 else 3,
            handlelength=3.2,
        )
        return png(figure)


def _panel(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    lines = list(dict.fromkeys((row.encoder, row.use) for row in rows))
    for number, line in enumerate(lines):
        own = [row for row in rows if (row.encoder, row.use) == line]
        # Lines are set apart, so that bars do not hide each other.
        place = np.array([row.share for row in own]) * 1.05 ** (number - (len(lines) - 1) / 2)
        mean = np.array([np.mean(row.values(metric)) for row in own])
        ends = np.array([row.ends(metric) for row in own])
        name, look = _look(*line)
        axes.plot(place, mean, marker="o", markersize=3.5, label=name, **look)
        # The interval of one seed's images may lie beside the mean of the seeds, never beyond.
        low, high = np.minimum(ends[:, 0], mean), np.maximum(ends[:, 1], mean)
        axes.vlines(place, low, high, color=look["color"], linewidth=0.8, alpha=0.6)
    axes.set_xscale("log")
    shares = sorted({row.share for row in rows})
    axes.set_xticks(shares, [_labels(rows, share) for share in shares])
    axes.minorticks_off()
    axes.grid(axis="y")
    axes.margins(x=0.08)


def _look(encoder: str, use: str) -> tuple[str, dict[str, Any]]:
    """Returns a line's name in the legend, and how it is drawn."""
    words = use_in_words(use)
    if encoder == COLOURS:
        return encoder, {"color": MUTED, "linestyle": (0, (1, 2)), "linewidth": 1.2}
    if encoder == RANDOM and use == "fine_tuned":
        return "supervised from scratch", {"color": ORANGE, "linewidth": 1.8}
    if encoder == RANDOM:
        return encoder, {"color": MUTED, "linestyle": (0, (5, 2)), "linewidth": 1.2}
    if encoder.startswith(RANDOM):
        look = {"color": MUTED, "linestyle": (0, (5, 2, 1, 2)), "linewidth": 1.2}
        return "random initialisation of this encoder", look
    if encoder == SELF:
        dash = "-" if use == "frozen" else (0, (5, 2))
        return f"{encoder} ({words})", {"color": INK, "linestyle": dash, "linewidth": 1.6}
    return f"this encoder ({words})", {"color": _USES[use], "linewidth": 2.0}


def _labels(rows: Sequence[Row], share: float) -> str:
    counts = [count for row in rows if row.share == share for count in row.labels]
    return f"{share * 100:.4g}%\n({round(float(np.mean(counts)))})"
