"""The coverage curve: how much of the set lies near the images chosen so far."""

from collections.abc import Mapping

from matplotlib import ticker
from matplotlib.axes import Axes

from examine_jax.evaluation.coverage import CoverageCurve
from examine_jax.reporting.charts.drawing import (
    GREEN,
    MUTED,
    PALETTE,
    label,
    new_figure,
    png,
    style,
)


def coverage_chart(curve: CoverageCurve, strategy: str) -> bytes:
    """The share of the set near a chosen image by the number chosen, and that of random images.

    The line of random images is the mean of the draws; the band spans all of them.

    Args:
        curve: the coverage.
        strategy: the name of the choice, for the legend.

    Returns:
        A PNG.
    """
    with style():
        figure = new_figure(6.2, 3.4)
        axes = figure.subplots()
        single = len(curve.counts) == 1
        marker = "o" if single else None
        random = curve.random.mean(axis=0)
        axes.plot(
            curve.counts,
            curve.share,
            color=GREEN,
            linewidth=2,
            marker=marker,
            label=f"{label(strategy)}: {curve.share[-1]:.0%}",
        )
        axes.plot(
            curve.counts,
            random,
            color=MUTED,
            linestyle="--",
            marker=marker,
            label=f"drawn at random: {random[-1]:.0%}",
        )
        axes.fill_between(
            curve.counts,
            curve.random.min(axis=0),
            curve.random.max(axis=0),
            color=MUTED,
            alpha=0.2,
            linewidth=0,
        )
        _finish(axes, int(curve.counts[-1]))
        return png(figure)


def coverage_of_encoders(curves: Mapping[str, CoverageCurve]) -> bytes:
    """Coverage in the features of several encoders, each with that of random images, dashed.

    Args:
        curves: by the encoder's name; of equally many chosen images.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no curve.
    """
    if not curves:
        raise ValueError("there is nothing to draw")
    with style():
        figure = new_figure(6.2, 3.4)
        axes = figure.subplots()
        for number, (name, curve) in enumerate(curves.items()):
            colour = PALETTE[number % len(PALETTE)]
            random = curve.random.mean(axis=0)
            marker = "o" if len(curve.counts) == 1 else None
            axes.plot(
                curve.counts,
                curve.share,
                color=colour,
                linewidth=2,
                marker=marker,
                label=f"{label(name)}: {curve.share[-1]:.0%}, random {random[-1]:.0%}",
            )
            axes.plot(curve.counts, random, color=colour, linestyle="--", linewidth=1)
        _finish(axes, max(int(curve.counts[-1]) for curve in curves.values()))
        return png(figure)


def _finish(axes: Axes, most: int) -> None:
    axes.legend(loc="lower right")
    axes.set(xlabel="images labelled", ylabel="images near a labelled one", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_xlim(0 if most > 1 else 0.5, max(float(most), 1.5))
    axes.grid(axis="y")
