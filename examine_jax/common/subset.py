"""A fixed random subset of rows."""

import numpy as np

from examine_jax.common.shapes import Int


def subset_indices(count: int, at_most: int, seed: int) -> Int[np.ndarray, " some"]:
    """Indices of a random subset of rows, in ascending order.

    Args:
        count: the number of rows.
        at_most: the size of the subset. If there are no more rows, it is all of them.
        seed: of the random choice.
    """
    if count <= at_most:
        return np.arange(count, dtype=np.int32)
    return np.sort(np.random.default_rng(seed).choice(count, at_most, replace=False)).astype(
        np.int32
    )
