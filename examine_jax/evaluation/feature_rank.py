"""How much of their space features fill: two measures of collapse that need no label."""

import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float

_BLOCK = 4096


def rank_me(features: Float[Array | np.ndarray, "n d"], *, epsilon: float = 1e-7) -> float:
    """The effective rank of features [N, D]: exp of the entropy of their singular values' shares (RankMe, arXiv:2210.02885, eq. 1 and 2).

    p_k = sigma_k / sum(sigma) + epsilon; the rank is exp(-sum p_k log p_k): 1 where features lie on a line, min(N, D) where they fill all
    directions alike; 0 where all are zero. Features are neither centred nor normalised, as in the paper.

    Singular values are those of the float64 Gram matrix of the smaller side, right to 1e-8 of the largest (finer than `epsilon`), whatever
    the dtype of the features: in float32 the small ones of a collapsed encoder would be noise. Beside its argument it holds one block of
    rows or columns and that matrix.

    Raises:
      ValueError: no row or no column, or features that are not finite.
    """
    rows, width = features.shape
    if not rows or not width:
        raise ValueError(f"features are [{rows}, {width}]: give at least one row and one column")
    small = min(rows, width)
    gram = np.zeros((small, small))
    scale = float(jnp.abs(features).max())
    if not np.isfinite(scale):
        raise ValueError("features are not finite: look at the first step whose loss or gradient was not")
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
    """The standard deviation of each dimension of z / |z|, mean over dimensions, of features z [N, D]; float32, may be jitted.

    0 where all features point one way (collapse), 1/sqrt(D) where they spread evenly: SimSiam, arXiv:2011.10566, section 4.1, figure 2.
    Rows of zeros stay zero. The deviation is that of the rows at hand (divided by N).
    """
    z = jnp.asarray(features).astype(jnp.float32)
    tiny = jnp.finfo(jnp.float32).tiny
    z = z / jnp.maximum(jnp.abs(z).max(axis=1, keepdims=True), tiny)  # first, so that no square overflows
    z = z / jnp.maximum(jnp.linalg.norm(z, axis=1, keepdims=True), tiny)
    return jnp.std(z, axis=0).mean()
