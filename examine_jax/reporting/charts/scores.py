"""Distributions of scores and gaps."""

from collections.abc import Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from examine_jax.common.shapes import Float
from examine_jax.reporting.charts.drawing import (
    BLUE,
    INK,
    MINUS,
    MUTED,
    SIGMA,
    Colour,
    floored,
    level_colours,
    new_figure,
    plain_log_ticks,
    png,
    spans_decades,
    style,
    write_message,
)

_SCORE = f"score, exp({MINUS}gap)"


def score_distribution(
    score: Float[np.ndarray, " n"],
    gap: Float[np.ndarray, " n"],
    level: Float[np.ndarray, " n"] | None = None,
) -> bytes:
    """The distribution of the scores (left) and the gaps (right).

    Scores exp(-gap) crowd towards 1, or towards 0; the gaps still differ there. The gap's axis is
    logarithmic if a quarter of the gaps are below a thirtieth of the largest.

    Args:
        score, gap: [N].
        level: [N], the noise added to each image. With it, both panels are drawn by noise level
            (EXAMINE, Fig. 2a); without it, the right panel shows the gap by rank.

    Returns:
        A PNG.
    """
    with style():
        figure = new_figure(7.2, 3.3)
        left, right = figure.subplots(1, 2)
        if level is None:
            _score_histogram(left, score)
            _gap_curve(right, gap)
        else:
            levels = np.unique(level)
            groups, colours = [level == value for value in levels], level_colours(len(levels))
            labels = [f"δ = {value:g}" if value > 0 else "clean" for value in levels]
            _score_ridges(left, score, groups, colours, labels)
            _gap_strips(right, gap, groups, colours, labels)
        return png(figure)


def _score_histogram(axes: Axes, score: Float[np.ndarray, " n"]) -> None:
    axes.set_title("Score")
    if not _write_where_saturated(axes, score):
        axes.hist(
            score,
            bins=int(np.clip(np.sqrt(len(score)), 5, 60)),
            color=BLUE,
            alpha=0.85,
            edgecolor="white",
            linewidth=0.6,
        )
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.grid(axis="y")
        axes.set(xlabel=_SCORE, ylabel="images")


def _score_ridges(
    axes: Axes,
    score: Float[np.ndarray, " n"],
    groups: Sequence[np.ndarray],
    colours: Sequence[Colour],
    labels: Sequence[str],
) -> None:
    """The density of the score, a row a noise level, each scaled to the same peak height."""
    axes.set_title("Score")
    if _write_where_saturated(axes, score):
        return
    low, high = float(score.min()), float(score.max())
    place = np.linspace(low - 0.06 * (high - low), high + 0.06 * (high - low), 400)
    for row, (group, colour) in enumerate(zip(groups, colours)):
        values = score[group].astype(np.float64)
        # Silverman's bandwidth, but not finer than the axis can show.
        width = max(0.9 * values.std() * len(values) ** -0.2, (high - low) / 80)
        counts, edges = np.histogram(
            values, bins=2000, range=(low, high)
        )  # binned first, so that a million images cost no more
        centres = (edges[:-1] + edges[1:]) / 2
        density = np.exp(-0.5 * ((place[:, None] - centres) / width) ** 2) @ counts
        base = float(len(groups) - 1 - row)
        height = base + 1.25 * density / density.max()
        axes.fill_between(
            place, base, height, color=colour, alpha=0.75, linewidth=0, zorder=2 + row
        )
        axes.plot(place, height, color="white", linewidth=1.0, zorder=2 + row)
        axes.plot(place, np.full_like(place, base), color=colour, linewidth=0.8, zorder=2 + row)
    axes.set_yticks(range(len(groups))[::-1], labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
    axes.margins(x=0)
    axes.set_xlabel(_SCORE)


def _write_where_saturated(axes: Axes, score: Float[np.ndarray, " n"]) -> bool:
    """Shows a message instead of a chart if rounding hides the differences of exp(-gap)."""
    if score.max() - score.min() >= 1e-6:
        return False
    write_message(
        axes,
        f"all scores lie within 1e-6 of {float(score.max()):.6g}:\nexp({MINUS}gap) saturates; read "
        "the gap instead",
    )
    return True


def _gap_curve(axes: Axes, gap: Float[np.ndarray, " n"]) -> None:
    """The gap by rank."""
    logarithmic = spans_decades(gap)
    ordered = np.sort(floored(gap) if logarithmic else gap)
    rank = np.arange(1, len(gap) + 1)
    axes.plot(
        rank, ordered, color=BLUE, linewidth=1.8, marker="o" if len(gap) < 40 else "", markersize=3
    )
    middle = float(np.median(ordered))
    axes.axhline(middle, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        f"median {middle:.3g}",
        (rank[0], middle),
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=8,
        color=MUTED,
    )
    _gap_axis(axes, ordered, logarithmic)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
    axes.set_xlim(left=1 - 0.02 * len(gap))
    axes.set(xlabel="rank (1: smallest gap)", title="Gap by rank")


def _gap_strips(
    axes: Axes,
    gap: Float[np.ndarray, " n"],
    groups: Sequence[np.ndarray],
    colours: Sequence[Colour],
    labels: Sequence[str],
) -> None:
    """The gap of each image, a column a noise level, with the median."""
    logarithmic = spans_decades(gap)
    shown = floored(gap) if logarithmic else gap
    for column, (group, colour) in enumerate(zip(groups, colours)):
        values = shown[group]
        drawn = values[np.linspace(0, len(values) - 1, min(len(values), 1000)).astype(np.int64)]
        # Offsets by the golden ratio: even, and the same in every run.
        offset = ((np.arange(len(drawn)) * 0.618034) % 1.0 - 0.5) * 0.56
        axes.scatter(column + offset, drawn, s=7, color=[colour], alpha=0.5, linewidths=0)
        axes.hlines(
            float(np.median(values)),
            column - 0.36,
            column + 0.36,
            color=INK,
            linewidth=1.6,
            zorder=3,
        )
    axes.set_xticks(range(len(groups)), labels)
    _gap_axis(axes, shown, logarithmic)
    axes.set(xlabel="noise added (bar: median)", title="Gap")


def _gap_axis(axes: Axes, shown: Float[np.ndarray, " n"], logarithmic: bool) -> None:
    if logarithmic:
        axes.set_yscale("log")
        plain_log_ticks(axes.yaxis, shown)
    else:
        axes.set_ylim(bottom=min(0.0, float(shown.min())))
    axes.grid(axis="y")
    axes.set_ylabel(f"gap, {SIGMA} {MINUS} {SIGMA} without it")
