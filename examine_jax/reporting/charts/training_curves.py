"""Curves over the training steps."""

import numpy as np
from matplotlib import ticker

from examine_jax.common.shapes import Float, Int
from examine_jax.reporting.charts.drawing import (
    BLUE,
    new_figure,
    plain_log_ticks,
    png,
    style,
    write_message,
)


def loss_curve(step: Int[np.ndarray, " t"], loss: Float[np.ndarray, " t"]) -> bytes:
    """The training loss by step, with its running median, on a logarithmic axis.

    Losses that are not finite or not positive are left out.

    Args:
        step, loss: [T].

    Returns:
        A PNG.
    """
    with style():
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        kept = np.isfinite(loss) & (loss > 0)
        step, loss = step[kept], loss[kept].astype(np.float64)
        if len(loss) == 0:
            write_message(axes, "no loss was recorded")
        else:
            width = max(1, len(loss) // 40) | 1
            axes.plot(
                step,
                loss,
                color=BLUE,
                alpha=0.28,
                linewidth=0.8,
                marker="o" if len(loss) < 30 else "",
                markersize=3,
            )
            axes.plot(step, _running_median(loss, width), color=BLUE, linewidth=1.8)
            axes.set_yscale("log")
            plain_log_ticks(axes.yaxis, loss)
            axes.annotate(
                f"{_running_median(loss, width)[-1]:.3g}",
                (step[-1], _running_median(loss, width)[-1]),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=BLUE,
                fontsize=8.5,
            )
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        axes.grid(axis="y")
        axes.set(xlabel="training step", ylabel="loss", title="Training loss")
        return png(figure)


def monitored_curve(
    step: Int[np.ndarray, " t"], value: Float[np.ndarray, " t"], title: str
) -> bytes:
    """A measure of the features that was taken during training, by step, [T] each; a PNG."""
    with style():
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        axes.plot(step, value, color=BLUE, linewidth=1.6, marker="o", markersize=3)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        axes.grid(axis="y")
        axes.set(xlabel="training step", ylabel=title, title=title.capitalize())
        return png(figure)


def _running_median(values: Float[np.ndarray, " t"], width: int) -> Float[np.ndarray, " t"]:
    """The median of `width` (odd) neighbours; the series is mirrored at its ends."""
    padded = np.pad(values, width // 2, mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)
