"""Features as points in the plane by t-SNE, coloured by class.

Source: van der Maaten & Hinton (2008); the low-resource paper's figure 4.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from examine_jax.common.shapes import Float, Int
from examine_jax.reporting.charts.drawing import PALETTE, label, new_figure, png, style

_MOST_POINTS = 3000  # t-SNE of more points takes minutes and shows nothing new
_SAME = 1e-6  # of the largest value: the rounding of float32, which differs between batches


def t_sne_maps(
    features: Sequence[Float[np.ndarray, "_ _"]],
    names: Sequence[str],
    labels: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    *,
    perplexity: float = 30.0,
    seed: int = 0,
) -> bytes:
    """scikit-learn's t-SNE of each encoder's features, a panel an encoder, coloured by class.

    The sizes of clusters and the distances between far clusters have no meaning in t-SNE. Its input
    is at most 50 leading principal components. Of more than 3,000 images, 3,000 are drawn at
    random; the title says so. If an encoder has collapsed, so that its features are equal up to
    rounding, its panel says so.

    Args:
        features: the features [N, D] of each encoder, for the same images.
        names: the encoders' names.
        labels: the class [N] of each image.
        class_names: the classes' names.
        perplexity: of t-SNE; lower for fewer than 91 images.
        seed: determines the sample and t-SNE.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no encoder or not one name each; the numbers of rows and labels differ;
            features are not finite; a label has no class name; or there are fewer than 5 images.
    """
    if not features or len(features) != len(names):
        raise ValueError(
            f"{len(features)} sets of features have {len(names)} names; give one each, and one set "
            "at least"
        )
    for name, own in zip(names, features):
        if len(own) != len(labels):
            raise ValueError(
                f"{name}: {len(own)} rows of features for {len(labels)} labels; give one each"
            )
        broken = int((~np.isfinite(own)).any(axis=1).sum())
        if broken:
            raise ValueError(
                f"{name}: the features of {broken} of {len(own)} images are not finite; leave that "
                "encoder out, or train it anew"
            )
    if len(labels) < 5:
        raise ValueError(f"{len(labels)} images make no map; give five at least")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise ValueError(
            f"labels lie in {labels.min()} .. {labels.max()}, but there are {len(class_names)} "
            "class names"
        )
    rows = np.arange(len(labels))
    if len(rows) > _MOST_POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_POINTS, replace=False))
    size = float(np.clip(4000 / len(rows), 3, 24))
    columns = min(len(features), 3)
    lines = -(-len(features) // columns)
    with style():
        figure = new_figure(3.1 * columns + (0.4 if columns > 1 else 2.2), 3.2 * lines + 0.5)
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes in panels[len(features) :]:
            axes.set_axis_off()
        for axes, own, name in zip(panels, features, names):
            if _collapsed(own[rows]):
                _draw(axes, np.empty((0, 2)), labels[:0], len(class_names), size)
                axes.text(
                    0.5,
                    0.5,
                    "all features are the same",
                    ha="center",
                    va="center",
                    transform=axes.transAxes,
                )
            else:
                _draw(
                    axes, _t_sne(own[rows], perplexity, seed), labels[rows], len(class_names), size
                )
            shown = "" if len(rows) == len(labels) else f" ({len(rows):,} of {len(labels):,})"
            axes.set_title(f"{label(name, 28)}{shown}")
        # Names are set afterwards: matplotlib skips artists whose label begins with an underscore.
        legend = figure.legend(
            panels[0].collections,
            ["?"] * len(class_names),
            loc="outside lower center",
            ncols=min(len(class_names), 4),
            markerscale=2,
        )
        for text, name in zip(legend.get_texts(), class_names):
            text.set_text(label(name, 24))
        return png(figure)


def _collapsed(features: Float[np.ndarray, "n d"]) -> bool:
    values = features.astype(np.float64)
    return bool(np.ptp(values, axis=0).max() <= _SAME * np.abs(values).max())


def _t_sne(
    features: Float[np.ndarray, "n d"], perplexity: float, seed: int
) -> Float[np.ndarray, "n 2"]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    values = features.astype(np.float64)
    if min(values.shape) > 50:
        values = PCA(50, random_state=seed).fit_transform(values)
    # The perplexity must be below a third of the number of images.
    method = TSNE(
        perplexity=min(perplexity, (len(values) - 1) / 3), init="random", random_state=seed
    )
    # t-SNE runs thousands of short parallel loops; on shared cores their threads wait for minutes.
    with threadpool_limits(limits=1):
        return method.fit_transform(values)


def _draw(
    axes: Axes,
    points: Float[np.ndarray, "n 2"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    size: float,
) -> None:
    for number in range(classes):
        own = labels == number
        axes.scatter(
            points[own, 0],
            points[own, 1],
            s=size,
            color=PALETTE[number % len(PALETTE)],
            marker="os^Dv"[number // len(PALETTE) % 5],
            linewidths=0,
            alpha=0.8,
        )
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
