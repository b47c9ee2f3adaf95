"""The FROC curve: the share of boxes found against false positives an image."""

import numpy as np
from matplotlib import ticker

from examine_jax.detection.metrics import Froc
from examine_jax.reporting.charts.drawing import BLUE, new_figure, plain, png, style, write_message

_RATES = (0.125, 0.25, 0.5, 1, 2, 4, 8)


def froc_chart(curve: Froc) -> bytes:
    """The curve of all classes together; its points are the usual numbers of false positives.

    Returns:
        A PNG.
    """
    with style():
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        found = np.isfinite(curve.curve_sensitivity)
        if not found.any():
            write_message(axes, "no true box: nothing to find")
        else:
            false_positives = np.maximum(curve.curve_false_positives[found], _RATES[0] / 4)
            axes.plot(false_positives, curve.curve_sensitivity[found], color=BLUE)
            axes.plot(
                _RATES[: len(curve.sensitivity)],
                curve.sensitivity,
                color=BLUE,
                marker="o",
                linestyle="",
            )
            axes.set(xscale="log", xlim=(_RATES[0] / 2, _RATES[-1] * 2), ylim=(0, 1.02))
            axes.xaxis.set_major_locator(ticker.FixedLocator(list(_RATES)))
            axes.xaxis.set_minor_locator(ticker.NullLocator())
            axes.xaxis.set_major_formatter(plain)
            axes.grid()
        axes.set(xlabel="false positives an image", ylabel="share of boxes found", title="FROC")
        return png(figure)
