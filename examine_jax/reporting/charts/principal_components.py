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
    from sklearn.decomposition import PCA

    with style():
        components = min(2, *features.shape)
        projection = PCA(components, svd_solver="auto", random_state=0)
        with np.errstate(
            invalid="ignore", divide="ignore"
        ):  # equal features have no variance to explain
            points = projection.fit_transform(features.astype(np.float32, copy=False))
            explained = np.nan_to_num(projection.explained_variance_ratio_)
        points = np.pad(points, ((0, 0), (0, 2 - components)))
        explained = np.pad(explained, (0, 2 - components))

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
