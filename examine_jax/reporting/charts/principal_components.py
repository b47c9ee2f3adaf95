"""Features on their first two principal components."""

import numpy as np
from matplotlib import colors, ticker

from examine_jax.common.shapes import Float
from examine_jax.reporting.charts.drawing import (
    SEQUENTIAL,
    floored,
    new_figure,
    plain,
    png,
    spans_decades,
    style,
)

_MOST_POINTS = 20_000  # more points take minutes to draw and show nothing new
_BLOCK = 8192  # rows
_ROUNDING = 1e-6  # of the largest entry


def principal_component_map(
    features: Float[np.ndarray, "n d"], gap: Float[np.ndarray, " n"]
) -> bytes:
    """The features on their first two principal components, coloured by gap.

    The largest gaps are drawn on top. Of more than 20,000 images, an even sample by gap is drawn;
    the title says so.

    Args:
        features: [N, D].
        gap: [N].

    Returns:
        A PNG.
    """
    with style():
        points, explained = first_two_components(features)
        shown = np.argsort(gap, kind="stable")
        if len(shown) > _MOST_POINTS:
            shown = shown[np.linspace(0, len(shown) - 1, _MOST_POINTS).astype(np.int64)]
        title = (
            "Features"
            if len(shown) == len(gap)
            else f"Features ({len(shown):,} of {len(gap):,} images)"
        )
        figure = new_figure(5.6, 4.3)
        axes = figure.subplots()
        drawn = axes.scatter(
            points[shown, 0],
            points[shown, 1],
            c=floored(gap[shown]) if spans_decades(gap) else gap[shown],
            cmap=SEQUENTIAL,
            norm=colors.LogNorm() if spans_decades(gap) else colors.Normalize(),
            s=float(np.clip(9000 / len(shown), 3, 26)),
            linewidths=0.25 if len(shown) < 2000 else 0,
            edgecolors="white",
        )
        bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28)
        bar.set_label("gap")
        if spans_decades(gap):
            bar.ax.yaxis.set_major_formatter(plain)
            bar.ax.yaxis.set_minor_formatter(ticker.NullFormatter())
        bar.outline.set_visible(False)
        axes.set(
            xlabel=f"principal component 1 ({explained[0]:.0%} of the variance)",
            ylabel=f"principal component 2 ({explained[1]:.0%})",
            title=title,
        )
        axes.margins(0.05)
        return png(figure)


def first_two_components(
    features: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "2"]]:
    """The features on their first two principal components, and their shares of the variance.

    From the smaller one of the two Gram matrices of the centred features. The largest entry of each
    axis (for fewer rows than columns, of each component) is positive; of entries that are as large
    but for rounding, the first one. What is missing is 0.
    """
    from scipy.linalg import eigh

    count, width = features.shape
    centre = features.mean(axis=0, dtype=np.float64)
    blocks = [slice(start, start + _BLOCK) for start in range(0, count, _BLOCK)]
    tall = count >= width
    if tall:
        gram = np.zeros((width, width))
        for block in blocks:
            part = features[block] - centre
            gram += part.T @ part
    else:
        wide = features - centre
        gram = wide @ wide.T
    size = len(gram)
    values, axes = eigh(gram, subset_by_index=[max(size - 2, 0), size - 1])
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    sizes = np.abs(axes)
    first = (sizes > (1 - _ROUNDING) * sizes.max(axis=0)).argmax(axis=0)
    axes = axes * np.where(axes[first, np.arange(len(values))] < 0, -1, 1)
    points = np.zeros((count, 2))
    if tall:
        for block in blocks:
            points[block, : len(values)] = (features[block] - centre) @ axes
    else:
        points[:, : len(values)] = axes * np.sqrt(values)
    total = float(np.trace(gram))
    explained = np.zeros(2)
    if total > 0:
        explained[: len(values)] = values / total
    return points, explained
