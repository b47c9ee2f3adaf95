"""The study's figures: precision against labels (table I) and by class (figure 4)."""

from collections.abc import Mapping, Sequence

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.reporting.charts.drawing import (
    INK,
    MUTED,
    PALETTE,
    label,
    new_figure,
    png,
    style,
)


def share_chart(
    rows: Mapping[str, tuple[Sequence[float], Sequence[Sequence[float]]]],
    published: Mapping[float, float],
    ylabel: str,
) -> bytes:
    """Draws a figure against the labelled share: a line a row, a dot a seed. PNG.

    Args:
        rows: by name, the shares and for each share the seeds' figures, one at least.
        published: the paper's figures by share, as stars.
        ylabel: what is drawn.
    """
    with style():
        figure = new_figure(6.4, 4.4)
        axes = figure.subplots()
        for number, (name, (shares, heights)) in enumerate(rows.items()):
            colour = PALETTE[number % len(PALETTE)]
            axes.plot(
                np.multiply(shares, 100),
                [np.mean(of) for of in heights],
                color=colour,
                marker="o",
                markersize=4,
                label=name,
            )
            for share, of in zip(shares, heights):
                axes.scatter(
                    [100 * share] * len(of), of, s=10, color=colour, alpha=0.5, linewidths=0
                )
        if published:
            axes.scatter(
                [100 * share for share in published],
                list(published.values()),
                marker="*",
                s=60,
                facecolors="none",
                edgecolors=MUTED,
                label="the paper, on VinDr-CXR",
            )
        axes.set(xlabel="labelled images, % of the training images", ylabel=ylabel)
        axes.grid(axis="y")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=2)
        return png(figure)


def class_chart(
    shares: Sequence[float],
    by_class: Mapping[str, Float[np.ndarray, " shares"]],
    ap50: Sequence[float],
) -> bytes:
    """Draws the paper's figure 4: AP by class against the labelled share, AP50 dashed. PNG.

    Args:
        shares: labelled shares.
        by_class: each class's AP, NaN where there is no truth; one class at least.
        ap50: the mean AP50 of all classes.
    """
    dashes = ("-", (0, (5, 1.5)), (0, (2, 1.2)))
    with style():
        figure = new_figure(6.4, 5.0)
        axes = figure.subplots()
        place = np.multiply(shares, 100)
        for number, (name, heights) in enumerate(by_class.items()):
            axes.plot(
                place,
                heights,
                color=PALETTE[number % len(PALETTE)],
                linestyle=dashes[number // len(PALETTE) % len(dashes)],
                linewidth=1.3,
                marker="o",
                markersize=3,
                label=label(name, 24),
            )
        axes.plot(place, ap50, color=INK, linestyle="--", linewidth=1.6, label="mean AP50")
        axes.set(xlabel="labelled images, % of the training images", ylabel="AP (.5 to .95)")
        axes.grid(axis="y")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=4, handlelength=2.6)
        return png(figure)


def balance_chart(
    balance: Sequence[tuple[str, int, float]], published: Mapping[str, tuple[int, int]]
) -> bytes:
    """Draws the paper's figure 3: training images by class, as they are and repeated. PNG.

    Args:
        balance: class, images, images with repetitions; one class at least.
        published: the paper's two numbers by class, as stars.
    """
    ordered = sorted(balance, key=lambda row: row[2])
    with style():
        figure = new_figure(6.4, 0.34 * len(ordered) + 1.3)
        axes = figure.subplots()
        for place, (name, before, after) in enumerate(ordered):
            axes.barh(place + 0.18, before, 0.34, color=PALETTE[0])
            axes.barh(place - 0.18, after, 0.34, color=PALETTE[3])
            for offset, value in zip((0.18, -0.18), published.get(name, ())):
                axes.scatter(
                    value, place + offset, marker="*", s=40, facecolors="none", edgecolors=INK
                )
        for colour, text in ((PALETTE[0], "images"), (PALETTE[3], "with repetitions")):
            axes.barh([0], [0], color=colour, label=text)
        axes.set_yticks(range(len(ordered)), [label(name, 24) for name, _, _ in ordered])
        axes.set_xlabel("training images an epoch")
        axes.grid(axis="x")
        figure.legend(loc="outside lower center", ncols=2)
        return png(figure)
