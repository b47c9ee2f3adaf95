"""Learned positions for another grid of patches."""

import numpy as np

from examine_jax.common.shapes import Float


def resample_positions(positions: Float[np.ndarray, "tokens width"], side: int) -> Float[np.ndarray, "resampled width"]:
    """Positions of a square grid, row by row, for one of side x side, float32: bicubic, as transformers resamples them.

    That is torch.nn.functional.interpolate(mode="bicubic", align_corners=False): Keys' kernel with a = -0.75, its support not widened when
    the grid shrinks, the border repeated.
    """
    old = round(len(positions) ** 0.5)
    if old == side:
        return positions
    weights = _bicubic(old, side)
    grid = positions.reshape(old, old, -1).astype(np.float64)
    resampled = np.einsum("ri,ijw,cj->rcw", weights, grid, weights, optimize=True)
    return resampled.reshape(side * side, -1).astype(np.float32)


def _bicubic(old: int, new: int) -> Float[np.ndarray, "new old"]:
    at = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(at).astype(int)
    weights = np.zeros((new, old))
    for tap in range(-1, 3):
        distance = np.abs(at - (first + tap))
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = -0.75 * (((distance - 5) * distance + 8) * distance - 4)
        np.add.at(weights, (np.arange(new), np.clip(first + tap, 0, old - 1)), np.where(distance <= 1, near, far))
    return weights
