"""A fixed random subset of rows."""

import numpy as np

from examine_jax.common.shapes import Int


def subset_indices(count: int, at_most: int, seed: int) -> Int[np.ndarray, " some"]:
    """Indices of at most so many of `count` images, in order; all of them where there are no more."""
    if count <= at_most:
        return np.arange(count, dtype=np.int32)
    return np.sort(np.random.default_rng(seed).choice(count, at_most, replace=False)).astype(np.int32)
