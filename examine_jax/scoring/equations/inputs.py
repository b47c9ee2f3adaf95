"""What features and masks may be, checked before anything is computed; and which rows spoil a result, when one does."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ROWS_LOOKED_AT = 8192  # at once: features may fill most of the memory


def check_inputs(features: Any, where: Any) -> tuple[Any, Any]:
    """Features [N, D] and mask [N] (or None) as NumPy or JAX arrays, or a ValueError that says what to change."""
    if not isinstance(features, jax.Array):
        features = np.asarray(features)
    _check_features(features.shape, features.dtype)
    if where is not None:
        where = where if isinstance(where, jax.Array) else np.asarray(where)
        if where.shape != features.shape[:1] or where.dtype != bool:
            raise ValueError(
                f"where must be a bool array of shape ({features.shape[0]},), one entry a row; got {where.dtype} {where.shape}"
            )
    return features, where


def _check_features(shape: tuple[int, ...], dtype: Any) -> None:
    if len(shape) != 2:
        raise ValueError(
            f"features must be a matrix [N, D], one row an image; got shape {shape}. Use features.reshape(N, -1)"
        )
    if shape[0] < 2:
        raise ValueError(f"leaving one out needs at least two rows; features have shape {shape}")
    if shape[1] < 1:
        raise ValueError(f"features have no columns: shape {shape}")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"features must be floating, got {dtype}. Use features.astype('float32')")


def non_finite_rows(features: Any, where: Any = None) -> str:
    """A sentence that says which rows hold NaN or infinite entries; of rows on several hosts, those that are here."""
    bad = _by_row(features, lambda block: np.logical_not(np.isfinite(block.astype(np.float64))).any(axis=1))
    if where is not None:
        bad &= _by_row(where, lambda block: block)
    rows = np.flatnonzero(bad)
    some = ", ".join(map(str, rows[:10])) + (", …" if len(rows) > 10 else "")
    here = "" if _all_here(features) else " (as far as this host holds them)"
    return f"features hold NaN or infinite entries in {len(rows)} of {len(bad)} rows{here}: {some}. Leave these rows out or mend them"


def _all_here(array: Any) -> bool:
    return not isinstance(array, jax.Array) or array.is_fully_addressable


def _by_row(array: Any, function: Any) -> np.ndarray:
    """`function(block [B, ...]) -> [B] bool` of all rows, a block at a time; False for rows that another host holds."""
    result = np.zeros(array.shape[0], bool)
    shards = [((slice(None),), array)] if _all_here(array) else [(s.index, s.data) for s in array.addressable_shards]
    for index, data in shards:
        here, rows = result[index[0]], np.asarray(data)
        for start in range(0, len(rows), _ROWS_LOOKED_AT):
            here[start : start + _ROWS_LOOKED_AT] |= function(rows[start : start + _ROWS_LOOKED_AT])
    return result
