"""Checks features and masks before the computation; names the rows with NaN or infinite entries."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from examine_jax.common.byte_order import native

# Features may fill most of the memory, so rows are searched in blocks.
_ROWS_AT_ONCE = 8192


def check_inputs(
    features: ArrayLike, where: ArrayLike | None
) -> tuple[jax.Array | np.ndarray, jax.Array | np.ndarray | None]:
    """Features [N, D] and the mask [N] (or None) as NumPy or JAX arrays.

    Raises:
        ValueError: features or mask are not valid; the message says what to change.
    """
    features = as_array(features)
    _check_features(features.shape, features.dtype)
    return features, check_mask(where, features.shape[0])


def as_array(values: ArrayLike) -> jax.Array | np.ndarray:
    """JAX arrays unchanged; all other values as NumPy arrays in native byte order."""
    return values if isinstance(values, jax.Array) else native(np.asarray(values))


def check_mask(where: ArrayLike | None, count: int) -> jax.Array | np.ndarray | None:
    """The mask as an array of `count` bools, or None. Raises ValueError for any other mask."""
    if where is None:
        return None
    where = as_array(where)
    if where.shape != (count,) or where.dtype != bool:
        raise ValueError(
            f"where must be a bool array of shape ({count},), one entry per row; got {where.dtype} "
            f"{where.shape}"
        )
    return where


def _check_features(shape: tuple[int, ...], dtype: DTypeLike) -> None:
    if len(shape) != 2:
        raise ValueError(
            f"features must be a matrix [N, D], one row per image; got shape {shape}. Use "
            "features.reshape(N, -1)"
        )
    if shape[0] < 2:
        raise ValueError(f"leaving one out needs at least two rows; features have shape {shape}")
    if shape[1] < 1:
        raise ValueError(f"features have no columns: shape {shape}")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"features must be floating, got {dtype}. Use features.astype('float32')")


def non_finite_rows(
    features: jax.Array | np.ndarray, where: jax.Array | np.ndarray | None = None
) -> str:
    """A sentence that names the rows with NaN or infinite entries.

    If the rows are distributed over several hosts, it names those on this host.
    """
    bad = _by_row(
        features, lambda block: np.asarray((~np.isfinite(block.astype(np.float64))).any(axis=1))
    )
    if where is not None:
        bad &= _by_row(where, lambda block: block)
    rows = np.flatnonzero(bad)
    some = ", ".join(map(str, rows[:10])) + (", …" if len(rows) > 10 else "")
    here = "" if _all_here(features) else " (counting only this host's rows)"
    return (
        f"features hold NaN or infinite entries in {len(rows)} of {len(bad)} rows{here}: {some}. "
        "Remove these rows or replace the entries"
    )


def _all_here(array: jax.Array | np.ndarray) -> bool:
    return not isinstance(array, jax.Array) or array.is_fully_addressable


def _by_row(
    array: jax.Array | np.ndarray, function: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """`function(block [B, ...]) -> [B] bool` of all rows; False for rows on another host."""
    result = np.zeros(array.shape[0], bool)
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        shards = [(shard.index[0], np.asarray(shard.data)) for shard in array.addressable_shards]
    else:
        shards = [(slice(None), np.asarray(array))]
    for index, rows in shards:
        here = result[index]
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            here[start : start + _ROWS_AT_ONCE] |= function(rows[start : start + _ROWS_AT_ONCE])
    return result
