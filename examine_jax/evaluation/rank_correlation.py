"""Agreement between valuers: how similarly they rank the same rows."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import rankdata

from examine_jax.common.shapes import Float


def rank_correlations(values: Mapping[str, Float[np.ndarray, " n"]]) -> Float[np.ndarray, "v v"]:
    """Spearman's rank correlation of each pair of valuers.

    Args:
        values: the values [N] by valuer; equal values share their mean rank.

    Returns:
        [V, V] float64, in the order of `values`; NaN where a valuer gives all rows the same value.

    Raises:
        ValueError: there is no valuer, there are fewer than two rows, or a valuer's values are not
            finite or not as many as the others'; the message names the valuer.
    """
    if not values:
        raise ValueError("there is no valuer to compare; give at least one")
    rows = len(next(iter(values.values())))
    for name, value in values.items():
        if len(value) != rows or rows < 2 or not np.isfinite(value).all():
            raise ValueError(
                f"{name} needs a finite value for each of at least two rows, the same rows as the "
                "others'"
            )
    ranks = np.stack([rankdata(value) for value in values.values()])
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(ranks).sum(axis=1))
    product = ranks @ ranks.T
    scale = np.outer(length, length)
    return np.clip(
        np.divide(product, scale, out=np.full_like(product, np.nan), where=scale > 0), -1, 1
    )
