"""Relative positions: the attention's logits depend on how far apart query and key are."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, Int


class Relative(NamedTuple):
    """Relative positions of a class token and patches.

    Attributes:
        rows: of a block's table, for each query and key: [tokens, tokens], or with the batch first.
        shared: what all blocks add to their logits, [..., heads, tokens, tokens]; None: nothing.
    """

    rows: Int[Array, "*batch tokens tokens"]
    shared: Float[Array, "*batch heads tokens tokens"] | None = None


def table_rows(side: int) -> int:
    """Rows of a table: one for each distance in a grid of side x side patches, and three more."""
    return (2 * side - 1) ** 2 + 3


def relative_rows(side: int) -> Int[np.ndarray, "tokens tokens"]:
    """The row of a table for each query and key; the class token comes first.

    A query that lies dy rows and dx columns after its key has the row
    (dy + side - 1) * (2 * side - 1) + dx + side - 1. The last three rows are of the class token as
    the query, as the key, and as both.

    Args:
        side: patches in a row.

    Source:
        microsoft/unilm, beit/modeling_finetune.py.
    """
    row, column = np.divmod(np.arange(side * side), side)
    down, right = row[:, None] - row, column[:, None] - column
    rows = np.empty((1 + side * side,) * 2, np.int32)
    rows[1:, 1:] = (down + side - 1) * (2 * side - 1) + right + side - 1
    rows[0], rows[1:, 0] = table_rows(side) - 3, table_rows(side) - 2
    rows[0, 0] = table_rows(side) - 1
    return rows


def biases_of(
    table: Float[Array, "rows heads"], rows: Int[Array, "*batch queries tokens"]
) -> Float[Array, "*batch heads queries tokens"]:
    """What a table adds to the logits of each head, float32 (weights may be kept in half)."""
    return jnp.moveaxis(table.astype(jnp.float32)[rows], -1, -3)
