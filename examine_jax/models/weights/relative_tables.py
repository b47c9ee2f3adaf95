"""Tables of relative biases, resampled to another grid of patches as their libraries do it."""

import numpy as np

from examine_jax.common.shapes import Float


def side_of_table(rows: int) -> int | None:
    """Patches in a row of the square grid whose table has so many rows; None: there is none."""
    distances = round(max(rows - 3, 0) ** 0.5)
    return (distances + 1) // 2 if distances % 2 and distances**2 == rows - 3 else None


def table_by_timm(table: Float[np.ndarray, "rows heads"], side: int) -> np.ndarray:
    """The table at side x side patches, as timm resamples it.

    The old distances are spread in a geometric progression from the centre, so that near ones stay
    as they are; the new ones are interpolated linearly between them.

    Args:
        table: (2 * old side - 1)^2 rows of distances, and three of the class token, which stay.
        side: patches in a row of the new grid.

    Source:
        timm/layers/pos_embed_rel.py, resize_rel_pos_bias_table (after microsoft/unilm, beit).
    """
    return _resampled(table, side, _spread)


def table_by_transformers(table: Float[np.ndarray, "rows heads"], side: int) -> np.ndarray:
    """As `table_by_timm`, by linear interpolation on evenly spread distances (transformers)."""
    return _resampled(table, side, _even)


def _resampled(table: np.ndarray, side: int, weights_of) -> np.ndarray:  # type: ignore[no-untyped-def]
    old, new = round((len(table) - 3) ** 0.5), 2 * side - 1
    if old == new:
        return table
    weights = weights_of(old, new)
    grid = table[:-3].reshape(old, old, -1).astype(np.float64)
    grid = np.einsum("ri,ijh,cj->rch", weights, grid, weights, optimize=True)
    return np.concatenate([grid.reshape(new * new, -1), table[-3:]]).astype(np.float32)


def _even(old: int, new: int) -> Float[np.ndarray, "new old"]:
    at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    return _linear(np.arange(old, dtype=np.float64), at)


def _spread(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Weights of the old distances, whose steps grow by a ratio that reaches the new grid's end."""
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if (1 - ratio ** (old // 2)) / (1 - ratio) > new // 2:
            high = ratio
        else:
            low = ratio
    steps = np.cumsum(ratio ** np.arange(old // 2))
    places = np.concatenate([-steps[::-1], [0.0], steps])
    return _linear(places, np.arange(new) - float(new // 2))


def _linear(places: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Weights [new, old] of values at rising places; beyond the last place its value stays."""
    at = np.clip(at, places[0], places[-1])
    right = np.clip(np.searchsorted(places, at), 0, len(places) - 1)
    left = np.maximum(right - 1, 0)
    length = np.where(left == right, 1.0, places[right] - places[left])
    share = (at - places[left]) / length
    weights = np.zeros((len(at), len(places)))
    np.add.at(weights, (np.arange(len(at)), left), 1 - share)
    np.add.at(weights, (np.arange(len(at)), right), share)
    return weights
