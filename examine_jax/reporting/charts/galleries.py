"""Galleries of images, each a pure function from arrays to the bytes of a PNG file."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examine_jax.common.shapes import Float, Int, Shaped, UInt8
from examine_jax.reporting.charts.drawing import (
    BLUE,
    MUTED,
    VERMILLION,
    as_rgb,
    image_axes,
    label,
    new_figure,
    png,
    style,
)

# In inches: a tile, the distance between columns and between rows, a heading, the left margin.
_COLUMNS = 6
_TILE, _COLUMN, _ROW, _HEADING, _MARGIN = 1.14, 1.25, 1.74, 0.36, 0.12


def gallery(
    pixels: UInt8[np.ndarray, "n h w c"],
    names: Sequence[str],
    score: Float[np.ndarray, " n"],
    gap: Float[np.ndarray, " n"],
    rank: Int[np.ndarray, " n"],
    count: int = 12,
) -> bytes:
    """The images with the `count` first and last ranks, with their scores and gaps.

    With fewer than 2 * count images, each is shown once; a single image is among the highest.

    Raises:
        ValueError: there is no image, or there is not one name an image.
    """
    if len(names) != len(pixels) or len(names) == 0:
        raise ValueError(
            f"there are {len(names)} names for {len(pixels)} images; a gallery needs one each, and "
            "at least one"
        )
    order = np.argsort(rank, kind="stable")
    highest = order[: min(count, (len(order) + 1) // 2)]
    lowest = order[len(highest) :][::-1][:count]
    blocks = [("First ranks", highest, BLUE), ("Last ranks", lowest, VERMILLION)]
    blocks = [block for block in blocks if len(block[1])]
    height = sum(_HEADING + _ROW * -(-len(chosen) // _COLUMNS) for _, chosen, _ in blocks)
    with style():
        figure = new_figure(_COLUMNS * _COLUMN + _MARGIN, height, pad=None)
        top = height
        for title, chosen, colour in blocks:
            figure.text(
                _MARGIN / figure.get_figwidth(),
                (top - 0.1) / height,
                title,
                va="top",
                color=colour,
                fontsize=11,
                weight="bold",
            )
            top -= _HEADING
            for place, index in enumerate(chosen):
                row, column = divmod(place, _COLUMNS)
                caption = f"{label(names[index], 20)}\n{score[index]:.4g}  ·  gap {gap[index]:.3g}"
                axes = _tile(figure, _MARGIN + column * _COLUMN, top - row * _ROW)
                axes.imshow(as_rgb(pixels[index]))
                image_axes(axes, edge=colour)
                axes.set_title(f"#{rank[index]}", fontsize=8.5, color=colour, pad=3)
                axes.set_xlabel(caption, fontsize=6.8, labelpad=3, linespacing=1.25, color=MUTED)
            top -= _ROW * -(-len(chosen) // _COLUMNS)
        return png(figure)


def image_rows(rows: Mapping[str, Shaped[np.ndarray, "k _ _ c"]]) -> bytes:
    """Images and what was made of each, such as its reconstruction or its views: a column an image.

    Args:
        rows: the pictures [k, H, W, C] of each row under its label, the originals first. Integers,
            or floats in [0, 1]; other values are clipped.

    Raises:
        ValueError: there is no image.
    """
    original = next(iter(rows.values()))
    if len(original) == 0:
        raise ValueError("there is no image to show; give at least one")
    with style():
        columns = len(original)
        size = min(1.15, 7.2 / columns) if columns > 4 else 1.5
        height, width = original.shape[1:3]
        figure = new_figure(
            max(5.0, size * columns + 1.1),
            len(rows) * (size - 0.05) * height / width + 0.1,
            pad=0.025,
        )
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for row, (text, pictures) in enumerate(rows.items()):
            axes[row, 0].set_ylabel(text, rotation=0, ha="right", va="center", labelpad=8)
            for column in range(columns):
                image_axes(axes[row, column])
                axes[row, column].imshow(as_rgb(pictures[column]))
        return png(figure)


def _tile(figure: Figure, left: float, top: float) -> Axes:
    """Square axes of a gallery; their row begins `top` inches above the figure's lower edge."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / width, (top - 0.2 - _TILE) / height, _TILE / width, _TILE / height)
    )
    axes.set_anchor("S")
    return axes
