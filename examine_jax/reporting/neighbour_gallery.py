"""An image beside what two methods take for its likes: the figure of the BYOL-TracIn poster."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from examine_jax._shapes import Float, Int, Shaped
from examine_jax.reporting._drawing import (
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
    """What one method says of the anchors: the rows of the K images it ranks highest, the best first, with their scores, [A, K] each."""

    name: str
    rows: Int[np.ndarray, "a k"]
    scores: Float[np.ndarray, "a k"]


def neighbour_gallery(
    pixels: Shaped[np.ndarray, "n h w c"],
    anchors: Int[np.ndarray, " a"],
    methods: Sequence[Neighbours],
    labels: Sequence[str] | None = None,
) -> bytes:
    """A PNG with a block an anchor: the anchor, and a row a method with its first images, labels and scores under them.

    Where there are labels, the frame tells whether an image has the anchor's: green where it has, orange-red where not. The most helpful
    and the most harmful training images of a test image are drawn alike: two methods, "helpful" and "harmful".

    Args:
      pixels: [N, H, W, C] uint8, or floats in [0, 1]; anchors and rows count into them.
      labels: N texts, drawn as they are.

    Raises:
      ValueError: no anchor, no method, methods of different shapes, a row that is not there, or not one label an image.
    """
    if not len(anchors) or not methods:
        raise ValueError(f"{len(anchors)} anchors and {len(methods)} methods: a gallery needs one of each at least")
    shape = methods[0].rows.shape
    for method in methods:
        if method.rows.shape != shape or method.scores.shape != shape or shape[0] != len(anchors) or not shape[1]:
            raise ValueError(
                f"{method.name} has rows {list(method.rows.shape)} and scores {list(method.scores.shape)}; "
                f"all methods need as many images for each of {len(anchors)} anchors"
            )
    used = np.concatenate([anchors, *(method.rows.ravel() for method in methods)])
    if used.min() < 0 or used.max() >= len(pixels):
        raise ValueError(f"row {used[(used < 0) | (used >= len(pixels))][0]} is not among the {len(pixels)} images")
    if labels is not None and len(labels) != len(pixels):
        raise ValueError(f"there are {len(labels)} labels for {len(pixels)} images; give one each")

    num_shown = shape[1]
    rows = len(anchors) * len(methods)
    with style():
        figure = new_figure(
            _LABELS + (num_shown + 1) * (_TILE + 0.1) + 0.1, rows * (_TILE + _CAPTION) + _TITLE, pad=0.04
        )
        grid = figure.add_gridspec(rows, num_shown + 2, width_ratios=[1, 0.02, *[1] * num_shown])
        for block, anchor in enumerate(anchors):
            axes = figure.add_subplot(grid[block * len(methods) : (block + 1) * len(methods), 0])
            axes.imshow(as_rgb(pixels[anchor]))
            image_axes(axes, edge=INK)
            axes.set_title("anchor", fontsize=8.5, pad=3)
            if labels is not None:
                axes.set_xlabel(label(labels[anchor], 20), fontsize=7.5, labelpad=3, color=INK)
            for line, method in enumerate(methods):
                for place, (row, score) in enumerate(zip(method.rows[block], method.scores[block])):
                    axes = figure.add_subplot(grid[block * len(methods) + line, place + 2])
                    axes.imshow(as_rgb(pixels[row]))
                    edge, caption = FAINT, f"{score:.3g}"
                    if labels is not None:
                        edge = GREEN if labels[row] == labels[anchor] else VERMILLION
                        caption = f"{label(labels[row], 20)}\n{caption}"
                    image_axes(axes, edge=edge)
                    for spine in axes.spines.values():
                        spine.set_linewidth(1.6 if labels is not None else 0.8)
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
