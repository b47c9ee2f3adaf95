"""Positions of patches: learned ones resampled to another grid, and fixed ones recognised."""

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.models.positions import sincos_positions


def resample_positions(
    positions: Float[np.ndarray, "tokens width"],
    side: int,
    *,
    antialias: bool = False,
    offset: float = 0.0,
) -> Float[np.ndarray, "resampled width"]:
    """Resamples the positions of a square grid to side x side by a bicubic kernel.

    Equals torch.nn.functional.interpolate(mode="bicubic", align_corners=False). Without antialias:
    Keys' kernel with a = -0.75, not widened when the grid shrinks, with the border repeated. With
    it: a = -0.5, widened when the grid shrinks, and what lies outside the grid has no weight.

    Args:
        positions: of a square grid, row by row.
        side: rows and columns of the new grid.
        antialias: as in torch; which one a library uses is its families' to know.
        offset: patches that the new grid's scale counts beyond its side (facebookresearch/dinov2;
            without antialias alone).

    Returns:
        float32, row by row.
    """
    old = round(len(positions) ** 0.5)
    if old == side:
        return positions
    weights = _antialiased(old, side) if antialias else _bicubic(old, side, offset)
    grid = positions.reshape(old, old, -1).astype(np.float64)
    resampled = np.einsum("ri,ijw,cj->rcw", weights, grid, weights, optimize=True)
    return resampled.reshape(side * side, -1).astype(np.float32)


def _kernel(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic kernel, zero from distance 2."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def _bicubic(old: int, new: int, offset: float) -> Float[np.ndarray, "new old"]:
    at = (np.arange(new) + 0.5) * (old / (new + offset)) - 0.5
    first = np.floor(at).astype(int)
    weights = np.zeros((new, old))
    for tap in range(-1, 3):
        distance = np.abs(at - (first + tap))
        np.add.at(
            weights,
            (np.arange(new), np.clip(first + tap, 0, old - 1)),
            _kernel(distance, -0.75),
        )
    return weights


def _antialiased(old: int, new: int) -> Float[np.ndarray, "new old"]:
    scale = max(old / new, 1.0)
    at = (np.arange(new) + 0.5) * (old / new) - 0.5
    weights = _kernel(np.abs(at[:, None] - np.arange(old)) / scale, -0.5)
    return weights / weights.sum(axis=1, keepdims=True)


def is_sincos(positions: Float[np.ndarray, "tokens width"]) -> bool:
    """Whether positions (the class token's first) are the fixed ones, to float32 rounding."""
    side = round((len(positions) - 1) ** 0.5)
    if side**2 != len(positions) - 1 or positions.shape[1] % 4 or positions[0].any():
        return False
    return bool(np.abs(positions[1:] - sincos_positions(side, positions.shape[1])).max() < 1e-5)
