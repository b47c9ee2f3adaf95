"""Images with their boxes: the truth dashed, predictions solid with their scores."""

import numpy as np
from matplotlib import patches, patheffects
from matplotlib.axes import Axes

from examine_jax.common.shapes import UInt8
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.reporting.charts.drawing import (
    MUTED,
    PALETTE,
    as_rgb,
    image_axes,
    label,
    new_figure,
    png,
    style,
)

_COLUMNS = 4
_TILE = 2.3  # inches
_OUTLINE = [patheffects.withStroke(linewidth=1.6, foreground="white")]


def boxes_on_images(
    pixels: UInt8[np.ndarray, "n h w c"],
    truth: BoxSet | None,
    predictions: BoxSet | None = None,
    *,
    columns: int = _COLUMNS,
) -> bytes:
    """Images with their boxes and names, and the classes' colours below.

    Args:
        pixels: the images.
        truth: boxes in the pixels of `pixels`, dashed; None: there is none.
        predictions: boxes on the same images, solid, with their scores.
        columns: images a row.

    Returns:
        A PNG.

    Raises:
        ValueError: there is no image, or no boxes are given.
    """
    given = truth if truth is not None else predictions
    if given is None or not len(pixels):
        raise ValueError("there is no image, or there are no boxes to show")
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    height, width = pixels.shape[1:3]
    tile_height = _TILE * height / width + 0.3
    with style():
        figure = new_figure(columns * _TILE, rows * tile_height + 0.4, pad=0.03)
        grid = figure.subplots(rows, columns, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(pixels):
                axes.set_axis_off()
                continue
            axes.imshow(as_rgb(pixels[place]))
            image_axes(axes)
            axes.set_xlabel(label(given.images[place], 34), fontsize=6.8, labelpad=2, color=MUTED)
            if truth is not None:
                _draw(axes, truth, place, "--")
            if predictions is not None:
                _draw(axes, predictions, place, "-")
        handles = [
            patches.Patch(edgecolor=_colour(index), facecolor="none", label=label(name, 30))
            for index, name in enumerate(given.classes[:12])
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
        return png(figure)


def _draw(axes: Axes, boxes: BoxSet, image: int, line: str) -> None:
    for row in boxes.of_image(image).tolist():
        x_min, y_min, x_max, y_max = boxes.corners[row]
        colour = _colour(int(boxes.label[row]))
        axes.add_patch(
            patches.Rectangle(
                (x_min - 0.5, y_min - 0.5),  # imshow's first pixel is centred on 0
                x_max - x_min,
                y_max - y_min,
                fill=False,
                edgecolor=colour,
                linestyle=line,
                linewidth=1.1,
            )
        )
        if boxes.score is not None:
            axes.text(
                x_min,
                y_min - 1,
                f"{boxes.score[row]:.2f}".removeprefix("0"),
                fontsize=5,
                color=colour,
                path_effects=_OUTLINE,
                clip_on=True,
            )


def _colour(index: int) -> str:
    return PALETTE[index % len(PALETTE)]
