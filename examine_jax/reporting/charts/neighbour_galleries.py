"""Images beside their nearest ones by several methods, or beside the most influential ones.

Source: the figure of the BYOL-TracIn poster.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped
from examine_jax.influence.influences import Extremes
from examine_jax.reporting.charts.drawing import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    VERMILLION,
    as_rgb,
    image_axes,
    label,
    new_figure,
    png,
    style,
)

_TILE, _CAPTION, _TITLE, _LABELS = 1.2, 0.34, 0.3, 1.05  # inches


class Neighbours(NamedTuple):
    """The K nearest images of each anchor by one method, nearest first.

    Attributes:
        name: the method's name.
        rows: the images' row numbers, [A, K].
        scores: the method's scores of them, [A, K].
    """

    name: str
    rows: Int[np.ndarray, "a k"]
    scores: Float[np.ndarray, "a k"]


def neighbour_gallery(
    pixels: Shaped[np.ndarray, "n h w c"],
    anchors: Int[np.ndarray, " a"],
    methods: Sequence[Neighbours],
    labels: Sequence[str] | None = None,
) -> bytes:
    """The nearest images of each anchor: a block an anchor, a row a method.

    Scores and labels are below the images. With labels, a green frame means that an image has the
    anchor's label, an orange-red frame that it has another one.

    Args:
        pixels: [N, H, W, C], uint8 or floats in [0, 1].
        anchors: the anchors' row numbers, [A].
        methods: the nearest images by each method.
        labels: N texts.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no anchor or no method, methods have different shapes, a row does not
            exist, or there is not one label an image.
    """
    if not len(anchors) or not methods:
        raise ValueError(
            f"{len(anchors)} anchors and {len(methods)} methods: a gallery needs one of each at "
            "least"
        )
    shape = methods[0].rows.shape
    for method in methods:
        if (
            method.rows.shape != shape
            or method.scores.shape != shape
            or shape[0] != len(anchors)
            or not shape[1]
        ):
            raise ValueError(
                f"{method.name} has rows {list(method.rows.shape)} and scores "
                f"{list(method.scores.shape)}; "
                f"all methods need as many images for each of {len(anchors)} anchors"
            )
    images = _Images("images", pixels, labels)
    images.check(np.concatenate([anchors, *(method.rows.ravel() for method in methods)]))
    return _drawn("anchor", images, anchors, images, methods)


def influence_gallery(
    extremes: Extremes,
    shown: Sequence[int] | Int[np.ndarray, " a"],
    *,
    train_pixels: Shaped[np.ndarray, "n h w c"],
    test_pixels: Shaped[np.ndarray, "m height width channels"],
    train_labels: Sequence[str] | None = None,
    test_labels: Sequence[str] | None = None,
) -> bytes:
    """The training images that help and harm each test image most: a block a test image.

    Below each training image are its label and its influence. A green frame means that it has the
    test image's label, an orange-red frame that it has another one. For example, for the first and
    the sixth test image:

        >>> extremes = tracin(loss, checkpoints, train, test).extremes(4) >>> picture =
        influence_gallery( ...     extremes, [0, 5], train_pixels=images, test_pixels=test_images,
        ...     train_labels=[classes[code] for code in labels], test_labels=[classes[code] for code
        in test_labels]) >>> pathlib.Path("influences.png").write_bytes(picture)

    Args:
        extremes: the most influential training images of all M test images; all of them are drawn.
        shown: the row numbers of the test images to draw.
        train_pixels, test_pixels: [N, H, W, C] and [M, H, W, C], uint8 or floats in [0, 1]; the
            sizes may differ.
        train_labels, test_labels: N and M texts; both or none.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no test image to draw, or it does not exist; `extremes` has another
            number of test images; only one kind of labels is given; or there is not one label an
            image.
    """
    shown = np.asarray(shown)
    if not len(shown) or extremes.helpful.shape[1] == 0:
        raise ValueError(
            f"{len(shown)} test images with {extremes.helpful.shape[1]} training images each: give "
            "one of each at least"
        )
    if len(extremes.helpful) != len(test_pixels):
        raise ValueError(
            f"there are influences on {len(extremes.helpful)} test images, but {len(test_pixels)} "
            "test images: "
            "give the images that the influences are on, and name those to draw"
        )
    if (train_labels is None) != (test_labels is None):
        raise ValueError("only one of train_labels and test_labels is given: give both or none")
    tests = _Images("test images", test_pixels, test_labels)
    trained = _Images("training images", train_pixels, train_labels)
    tests.check(shown)
    methods = [
        Neighbours("most helpful", extremes.helpful[shown], extremes.helpful_influence[shown]),
        Neighbours("most harmful", extremes.harmful[shown], extremes.harmful_influence[shown]),
    ]
    trained.check(np.concatenate([method.rows.ravel() for method in methods]))
    return _drawn("test image", tests, shown, trained, methods)


class _Images(NamedTuple):
    name: str
    pixels: np.ndarray
    labels: Sequence[str] | None

    def check(self, used: np.ndarray) -> None:
        """Raises ValueError if a row does not exist or labels are not one an image."""
        outside = used[(used < 0) | (used >= len(self.pixels))]
        if len(outside):
            raise ValueError(f"row {outside[0]} is not among the {len(self.pixels)} {self.name}")
        if self.labels is not None and len(self.labels) != len(self.pixels):
            raise ValueError(
                f"there are {len(self.labels)} labels for {len(self.pixels)} {self.name}; give one "
                "each"
            )


def _drawn(
    title: str, asked: _Images, anchors: np.ndarray, images: _Images, methods: Sequence[Neighbours]
) -> bytes:
    """The picture of anchors from `asked` beside the methods' rows of `images`."""
    num_shown = methods[0].rows.shape[1]
    rows = len(anchors) * len(methods)
    with style():
        figure = new_figure(
            _LABELS + (num_shown + 1) * (_TILE + 0.1) + 0.1,
            rows * (_TILE + _CAPTION) + _TITLE,
            pad=0.04,
        )
        grid = figure.add_gridspec(rows, num_shown + 2, width_ratios=[1, 0.02, *[1] * num_shown])
        for block, anchor in enumerate(anchors):
            axes = figure.add_subplot(grid[block * len(methods) : (block + 1) * len(methods), 0])
            axes.imshow(as_rgb(asked.pixels[anchor]))
            image_axes(axes, edge=INK)
            axes.set_title(title, fontsize=8.5, pad=3)
            if asked.labels is not None:
                axes.set_xlabel(
                    label(asked.labels[anchor], 20), fontsize=7.5, labelpad=3, color=INK
                )
            for line, method in enumerate(methods):
                for place, (row, score) in enumerate(zip(method.rows[block], method.scores[block])):
                    axes = figure.add_subplot(grid[block * len(methods) + line, place + 2])
                    axes.imshow(as_rgb(images.pixels[row]))
                    edge, caption = FAINT, f"{score:.3g}"
                    if images.labels is not None and asked.labels is not None:
                        edge = GREEN if images.labels[row] == asked.labels[anchor] else VERMILLION
                        caption = f"{label(images.labels[row], 20)}\n{caption}"
                    image_axes(axes, edge=edge)
                    for spine in axes.spines.values():
                        spine.set_linewidth(0.8 if images.labels is None else 1.6)
                    axes.set_xlabel(caption, fontsize=7, labelpad=2, linespacing=1.2, color=MUTED)
                    if place == 0:
                        axes.set_ylabel(
                            label(method.name, 18),
                            rotation=0,
                            ha="right",
                            va="center",
                            labelpad=6,
                            fontsize=8.5,
                            color=BLUE,
                        )
        return png(figure)
