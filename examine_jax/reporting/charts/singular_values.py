"""The leading singular values of the features."""

import numpy as np
from matplotlib import ticker

from examine_jax.common.shapes import Float
from examine_jax.reporting.charts.drawing import (
    BLUE,
    MUTED,
    SIGMA,
    VERMILLION,
    new_figure,
    plain_log_ticks,
    png,
    style,
)


def singular_value_chart(features: Float[np.ndarray, "n d"], at_most: int = 64) -> bytes:
    """The leading singular values of the features; EXAMINE measures changes of the first.

    Args:
        features: [N, D], as they were scored.
        at_most: the number of singular values to draw.

    Returns:
        A PNG.
    """
    with style():
        tall = (
            features.astype(np.float64)
            if features.shape[0] >= features.shape[1]
            else features.T.astype(np.float64)
        )
        # Squared singular values from the smaller Gram matrix: exact to 1e-8 of the largest.
        energy = np.clip(np.linalg.eigvalsh(tall.T @ tall)[::-1], 0.0, None)
        values = np.sqrt(energy)[:at_most]
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        positive = values > max(values[0], np.finfo(np.float64).tiny) * 1e-8
        order = np.arange(1, len(values) + 1)
        axes.plot(order[positive], values[positive], color=MUTED, linewidth=0.8, zorder=1)
        axes.scatter(
            order[positive],
            values[positive],
            s=14,
            color=[VERMILLION, *[BLUE] * (positive.sum() - 1)][: positive.sum()],
        )
        if positive.any():
            axes.set_yscale("log")
            plain_log_ticks(axes.yaxis, values[positive])
            share = energy[0] / energy.sum()
            axes.annotate(
                f"{SIGMA} = {values[0]:.4g}, {share:.0%} of the features' energy",
                (1, values[0]),
                xytext=(9, -1),
                textcoords="offset points",
                va="center",
                color=VERMILLION,
                fontsize=8.5,
            )
        axes.xaxis.set_major_locator(ticker.MaxNLocator(8, integer=True))
        axes.grid(axis="y")
        axes.set(xlabel="order", ylabel="singular value", title="Spectrum of the features")
        return png(figure)
