"""The separation of noise levels by the gap, for encoders and controls."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from examine_jax.evaluation.noise_separation import NoiseSeparation, mean_over_seeds
from examine_jax.reporting.charts.drawing import INK, MUTED, PALETTE, label, new_figure, png, style


def separation_chart(results: Mapping[str, Sequence[NoiseSeparation]]) -> bytes:
    """Rank correlation and AUROC by noise level: a dot a seed, a bar at their mean.

    Args:
        results: by kind of features ("trained encoder", "raw pixels", …), the separation of each
            seed. All have the same noise levels.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no result, or the noise levels differ.
    """
    means = {name: mean_over_seeds(separations) for name, separations in results.items()}
    levels = _common_levels(means)
    noisy = [place for place, level in enumerate(levels) if level > 0]
    with style():
        figure = new_figure(7.6, 3.5)
        left, right = figure.subplots(1, 2, width_ratios=(1.0, max(1.3, 0.55 * len(noisy))))
        offset = np.linspace(-0.36, 0.36, len(results)) if len(results) > 1 else np.zeros(1)
        handles = []
        for number, (name, separations) in enumerate(results.items()):
            colour = PALETTE[number % len(PALETTE)]
            correlations = [separation.rank_correlation for separation in separations]
            handles.append(
                _dots(left, float(number), correlations, means[name].rank_correlation, colour, 0.3)
            )
            for column, place in enumerate(noisy):
                areas = [separation.auroc[place] for separation in separations]
                half = 0.3 / max(len(results), 1)
                _dots(right, column + offset[number], areas, means[name].auroc[place], colour, half)
        left.axhline(0.0, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        right.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        right.text(
            1.0,
            0.505,
            "chance",
            transform=right.get_yaxis_transform(),
            ha="right",
            va="bottom",
            fontsize=8,
            color=MUTED,
        )
        left.set_xticks([])
        left.set_xlim(-0.6, len(results) - 0.4)
        left.set(ylabel="Spearman, gap with noise level", title="Rank correlation")
        left.set_ylim(min(-0.05, left.get_ylim()[0]), 1.03)
        right.set_xticks(range(len(noisy)), [f"δ = {levels[place]:g}" for place in noisy])
        right.set_xlim(-0.6, len(noisy) - 0.4)
        right.set_ylim(min(0.45, right.get_ylim()[0]), 1.03)
        right.set(xlabel="noise level", ylabel="AUROC", title="Clean against noisy")
        for axes in (left, right):
            axes.yaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))
            axes.grid(axis="y")
        figure.legend(
            handles,
            [label(name, 32) for name in results],
            loc="outside lower center",
            ncols=4,
            handletextpad=0.3,
        )
        return png(figure)


def separation_rows(
    results: Mapping[str, Sequence[NoiseSeparation]],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The header and rows of a table of the means over seeds, a row a kind of features.

    Raises:
        ValueError: as `separation_chart`.
    """
    means = {name: mean_over_seeds(separations) for name, separations in results.items()}
    levels = _common_levels(means)
    header = (
        "features",
        "seeds",
        "rank correlation",
        *(f"AUROC at δ = {level:g}" for level in levels if level > 0),
    )
    rows = tuple(
        (
            name,
            str(len(results[name])),
            f"{mean.rank_correlation:.3f}",
            *(f"{area:.3f}" for level, area in zip(levels, mean.auroc) if level > 0),
        )
        for name, mean in means.items()
    )
    return header, rows


def _dots(
    axes: Axes, place: float, values: Sequence[float], mean: float, colour: str, half: float
) -> Artist:
    """A dot a seed, side by side, and a bar at the mean."""
    offsets = np.linspace(-half, half, len(values) + 2)[1:-1]
    axes.hlines(mean, place - half, place + half, color=INK, linewidth=1.4, zorder=3)
    return axes.scatter(
        place + offsets,
        values,
        s=24,
        color=colour,
        edgecolors="white",
        linewidths=0.5,
        zorder=2,
        clip_on=False,
    )


def _common_levels(means: Mapping[str, NoiseSeparation]) -> tuple[float, ...]:
    if not means:
        raise ValueError("there is no result to compare; give at least one kind of features")
    every = {mean.levels for mean in means.values()}
    if len(every) > 1:
        raise ValueError(
            f"the results have different noise levels, {sorted(every)}: they cannot be compared"
        )
    return every.pop()
