"""Fixed two-dimensional sine-cosine positions."""

import numpy as np

from examine_jax.common.shapes import Float


def sincos_positions(side: int, width: int) -> Float[np.ndarray, "tokens width"]:
    """Fixed positions of a `side` x `side` grid of patches.

    The first half of the width encodes the column, the second half the row. Each half holds sines,
    then cosines, at the frequencies 10000^(-i / (width / 4)).

    Args:
        side: patches in a row.
        width: of a token, a multiple of 4.

    Returns:
        [side^2, width], float32, row by row.

    Raises:
        ValueError: 4 does not divide the width.

    Source:
        facebookresearch/mae, util/pos_embed.py ("here w goes first").
    """
    if width % 4:
        raise ValueError(f"sin-cos positions need a width that is a multiple of 4, got {width}")
    frequency = 1.0 / 10000.0 ** (np.arange(width // 4, dtype=np.float64) / (width // 4))
    row, column = np.divmod(np.arange(side * side), side)
    halves = []
    for coordinate in (column, row):
        angle = coordinate[:, None] * frequency[None, :]
        halves += [np.sin(angle), np.cos(angle)]
    return np.concatenate(halves, axis=1).astype(np.float32)
