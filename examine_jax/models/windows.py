"""Windows of a map, attention within them, and the positions of one place relative to another."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array, Float, Int


def pad_to_windows(
    x: Float[Array, "batch rows columns width"], window: int
) -> Float[Array, "batch padded_rows padded_columns width"]:
    """The map with zeros below and to the right, so that windows divide its sides."""
    below, right = (-side % window for side in x.shape[1:3])
    if not below and not right:
        return x
    return jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0)))


def cut_windows(
    x: Float[Array, "batch rows columns width"], window: int
) -> Float[Array, "batch windows places width"]:
    """Square windows without overlap, row by row, as are the places in each of them."""
    batch, rows, columns, width = x.shape
    down, across = rows // window, columns // window
    cut = x.reshape(batch, down, window, across, window, width).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(batch, down * across, window * window, width)


def join_windows(
    windows: Float[Array, "batch windows places width"], rows: int, columns: int
) -> Float[Array, "batch rows columns width"]:
    """The inverse of `cut_windows`, without what exceeds `rows` and `columns`."""
    batch, _, places, width = windows.shape
    window = round(places**0.5)
    down, across = -(-rows // window), -(-columns // window)
    cut = windows.reshape(batch, down, across, window, window, width).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(batch, down * window, across * window, width)[:, :rows, :columns]


def relative_positions(side: int) -> Int[np.ndarray, "places places"]:
    """The row of a table [(2 side - 1)^2, ...] for each pair of places of a square, row by row.

    Row (dy + side - 1) * (2 side - 1) + dx + side - 1 is that of a query dy rows below and dx
    columns to the right of its key.
    """
    row, column = np.divmod(np.arange(side * side), side)
    down = row[:, None] - row[None, :] + side - 1
    across = column[:, None] - column[None, :] + side - 1
    return down * (2 * side - 1) + across


def shifted_regions(
    sides: tuple[int, ...], window: int, shifts: tuple[int, ...]
) -> Int[np.ndarray, "windows places"]:
    """Which part of the unshifted map each place of a shifted one comes from, by windows.

    Args:
        sides: rows and columns of the map, multiples of `window`.
        window: side of a window.
        shifts: by how many rows and columns the map was rolled; 0: not at all.
    """
    regions = []
    for side, shift in zip(sides, shifts):
        at = np.arange(side)
        regions.append((at >= side - window).astype(int) + (at >= side - shift) * (shift > 0))
    together = regions[0][:, None] * 3 + regions[1][None, :]
    down, across = (side // window for side in sides)
    cut = together.reshape(down, window, across, window).transpose(0, 2, 1, 3)
    return cut.reshape(down * across, window * window)


def attend_with_bias(
    query: Float[Array, "*batch queries width"],
    key: Float[Array, "*batch tokens width"],
    value: Float[Array, "*batch tokens width"],
    bias: Float[Array, "*biases queries tokens"] | None,
) -> Float[Array, "*batch queries width"]:
    """softmax(query key^T / sqrt(width) + bias) value, with float32 logits; None: no bias."""
    axes = tuple(range(query.ndim - 2))
    last = query.ndim - 1
    logits = lax.dot_general(
        query, key, (((last,), (last,)), (axes, axes)), preferred_element_type=jnp.float32
    )
    logits = logits * query.shape[-1] ** -0.5
    weights = jax.nn.softmax(logits if bias is None else logits + bias, axis=-1)
    return lax.dot_general(
        weights.astype(value.dtype), value, (((last,), (last - 1,)), (axes, axes))
    )
