"""What more labels would buy: balanced accuracy against labels, from a pilot."""

import numpy as np
from matplotlib import ticker

from examine_jax.evaluation.pilot import LearningCurve
from examine_jax.reporting.charts.drawing import BLUE, MUTED, new_figure, plain, png, style


def learning_curve_chart(curve: LearningCurve, num_labelled: int) -> bytes:
    """The fitted curve with its interval; a line marks the labels of the pilot.

    Args:
        curve: the learning curve.
        num_labelled: the images of the pilot.

    Returns:
        A PNG.
    """
    with style():
        figure = new_figure(6.2, 3.4)
        axes = figure.subplots()
        tried = slice(0, curve.num_tried)
        axes.fill_between(curve.labels, curve.low, curve.high, color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(curve.labels, curve.accuracy, color=BLUE, linestyle="--", label="continued")
        axes.plot(
            curve.labels[tried], curve.accuracy[tried], color=BLUE, marker="o", label="measured"
        )
        axes.axvline(num_labelled, color=MUTED, linewidth=1, linestyle=":")
        axes.set(xscale="log", xlabel="labels", ylabel="balanced accuracy")
        axes.xaxis.set_major_locator(ticker.FixedLocator(np.unique(curve.labels).tolist()))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(plain)
        axes.tick_params(axis="x", rotation=45)
        axes.grid(axis="y")
        axes.legend(loc="lower right")
        return png(figure)
