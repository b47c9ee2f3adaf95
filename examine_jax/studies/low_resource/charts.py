"""The study's figures: accuracy by batch size (figure 3), and accuracy minus F1 by imbalance."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist

from examine_jax.reporting.charts.drawing import (
    INK,
    MINUS,
    MUTED,
    PALETTE,
    label,
    new_figure,
    png,
    style,
)
from examine_jax.studies.low_resource.rows import Row


def batch_size_chart(
    rows: Mapping[str, Mapping[str, Sequence[Row]]],
    controls: Mapping[str, Mapping[str, Row]],
    published: Mapping[tuple[str, str], float],
    published_at: int,
) -> bytes:
    """Draws kNN accuracy by batch size: a panel per set, a line per method, a dot per seed. PNG.

    Args:
        rows: by set and method, one per batch size.
        controls: by set and name; dashed lines.
        published: the paper's accuracy by (set, method); stars.
        published_at: the batch size of these.

    Raises:
        ValueError: there is no set.
    """
    if not rows:
        raise ValueError("there is no set to draw; finish one run at least")
    with style():
        figure = new_figure(max(5.6, 3.2 * len(rows) + 0.8), 4.1)
        panels = figure.subplots(1, len(rows), squeeze=False)[0]
        for axes, (set_name, methods) in zip(panels, rows.items()):
            places = sorted({row.batch_size or 0 for of in methods.values() for row in of})
            for colour, (name, of) in zip(_colours(methods), methods.items()):
                at = [places.index(row.batch_size or 0) for row in of]
                axes.plot(
                    at,
                    [np.mean(row.accuracy) for row in of],
                    color=colour,
                    marker="o",
                    markersize=4,
                    label=name,
                )
                for place, row in zip(at, of):
                    axes.scatter(
                        [place] * len(row.accuracy),
                        row.accuracy,
                        s=10,
                        color=colour,
                        alpha=0.5,
                        linewidths=0,
                    )
                if (set_name, name) in published and published_at in places:
                    axes.scatter(
                        places.index(published_at),
                        published[set_name, name],
                        marker="*",
                        s=70,
                        facecolors="none",
                        edgecolors=colour,
                    )
            for line, (name, row) in zip((":", "--", "-."), controls.get(set_name, {}).items()):
                axes.axhline(
                    float(np.mean(row.accuracy)),
                    color=MUTED,
                    linestyle=line,
                    linewidth=1.1,
                    label=name,
                )
            axes.set_xticks(range(len(places)), [str(place) for place in places])
            axes.margins(x=0.15)
            axes.grid(axis="y")
            axes.set(xlabel="batch size", ylabel="kNN accuracy", title=label(set_name))
        named: dict[str, Artist] = {}
        for axes in panels:
            for handle, text in zip(*axes.get_legend_handles_labels()):
                named.setdefault(text, handle)
        figure.legend(
            list(named.values()),
            list(named),
            loc="outside lower center",
            ncols=3 if len(rows) == 1 else 4,
        )
        return png(figure)


def imbalance_chart(
    rows: Mapping[str, Sequence[Row]],
    largest_class: Mapping[str, float],
    published: Mapping[tuple[str, str], float],
) -> bytes:
    """Draws accuracy minus weighted F1: a panel per set, a line per encoder, a dot per seed. PNG.

    Args:
        rows: by set.
        largest_class: by set, the share of the images in the most frequent class.
        published: the paper's difference by (set, name); stars.

    Raises:
        ValueError: there is no set.
    """
    if not rows:
        raise ValueError("there is no set to draw; finish one run at least")
    names = list(dict.fromkeys(row.name for of in rows.values() for row in of))
    colours = dict(zip(names, _colours(names)))
    with style():
        figure = new_figure(3.0 * len(rows) + 1.6, 0.32 * len(names) + 1.9)
        panels = figure.subplots(1, len(rows), squeeze=False, sharex=True, sharey=True)[0]
        for axes, (set_name, of) in zip(panels, rows.items()):
            for row in of:
                place = len(names) - 1 - names.index(row.name)
                gap = np.array(row.accuracy) - np.array(row.weighted_f1)
                axes.vlines(
                    float(gap.mean()), place - 0.3, place + 0.3, color=INK, linewidth=1.4, zorder=3
                )
                axes.scatter(
                    gap,
                    [place] * len(gap),
                    s=20,
                    color=colours[row.name],
                    edgecolors="white",
                    linewidths=0.5,
                )
                if (set_name, row.name) in published:
                    axes.scatter(
                        published[set_name, row.name],
                        place,
                        marker="*",
                        s=70,
                        facecolors="none",
                        edgecolors=colours[row.name],
                        zorder=4,
                    )
            axes.axvline(0, color=MUTED, linewidth=0.8)
            axes.set_yticks(range(len(names)), names[::-1])
            axes.grid(axis="x")
            axes.tick_params(axis="x", rotation=30)
            axes.set_xlabel(f"accuracy {MINUS} weighted F1")
            axes.set_title(f"{label(set_name)}\nlargest class {largest_class[set_name]:.0%}")
        return png(figure)


def _colours(names: Mapping[str, object] | Sequence[str]) -> list[str]:
    return [PALETTE[number % len(PALETTE)] for number in range(len(names))]
