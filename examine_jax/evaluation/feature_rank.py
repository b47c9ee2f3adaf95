"""Two measures of representation collapse that need no labels."""

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Array, Float

_BLOCK = 4096


def rank_me(features: Float[Array | np.ndarray, "n d"], *, epsilon: float = 1e-7) -> float:
    """The effective rank of features [N, D] (RankMe).

    With p_k = sigma_k / sum(sigma) + epsilon, the effective rank is exp(-sum_k p_k log p_k).
    It is 1 if all features lie on a line, min(N, D) if all singular values are equal, and 0 if all
    features are zero. Features are neither centred nor normalised, as in the paper.

    The singular values come from the Gram matrix of the smaller side in float64, whatever the dtype
    of the features. Their error is 1e-8 of the largest one, below `epsilon`; in float32 the small
    singular values of a collapsed encoder would be rounding noise. Memory beyond the argument: this
    matrix and one block of rows or columns.

    Args:
        features: [N, D]; every entry is finite.
        epsilon: added to each share.

    Returns:
        The effective rank.

    Raises:
        ValueError: there is no row or no column, or features are not finite.

    Source: Garrido et al., RankMe, arXiv:2210.02885, eq. 1 and 2.
    """
    features = features if isinstance(features, jax.Array) else native(np.asarray(features))
    rows, width = features.shape
    if not rows or not width:
        raise ValueError(f"features are [{rows}, {width}]: give at least one row and one column")
    small = min(rows, width)
    gram = np.zeros((small, small))
    scale = float(jnp.abs(features).max())
    if not np.isfinite(scale):
        raise ValueError(
            "features are not finite: look at the first step whose loss or gradient was not"
        )
    if scale == 0:
        return 0.0
    tall = rows >= width
    for start in range(0, max(rows, width), _BLOCK):
        block = features[start : start + _BLOCK] if tall else features[:, start : start + _BLOCK].T
        block = np.asarray(block).astype(np.float64) / scale
        gram += block.T @ block
    sigma = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    shares = sigma / sigma.sum() + epsilon
    return float(np.exp(-np.sum(shares * np.log(shares))))


def feature_deviation(features: Float[Array | np.ndarray, "n d"]) -> Float[Array, ""]:
    """The mean over dimensions of the standard deviation of z / |z|, for features z [N, D].

    It is 0 if all features have the same direction (collapse) and 1/sqrt(D) if their directions are
    uniform. Rows of zeros stay zero. The standard deviation divides by N. The function can be
    jitted.

    Returns:
        A float32 scalar.

    Source: Chen & He, SimSiam, arXiv:2011.10566, section 4.1 and figure 2.
    """
    features = features if isinstance(features, jax.Array) else native(np.asarray(features))
    z = jnp.asarray(features).astype(jnp.float32)
    tiny = jnp.finfo(jnp.float32).tiny
    z = z / jnp.maximum(
        jnp.abs(z).max(axis=1, keepdims=True), tiny
    )  # before the norm, whose squares would overflow
    z = z / jnp.maximum(jnp.linalg.norm(z, axis=1, keepdims=True), tiny)
    return jnp.std(z, axis=0).mean()
