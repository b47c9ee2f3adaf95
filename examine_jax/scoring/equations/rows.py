"""The rows that are examined, as every solver sees them: masked, scaled, centred, a block at a time.

Nothing here builds an N x D array when N > D: features may fill most of the memory.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array

# Rows a block: large enough that matrix products run at full rate, small enough that a block stays in a CPU's cache.
_ROWS_ON_CPU = 2048
_ROWS_ON_ACCELERATOR = 16_384


def block_rows(count: int) -> int:
    """Rows a block, of so many rows in all."""
    return min(_ROWS_ON_CPU if jax.default_backend() == "cpu" else _ROWS_ON_ACCELERATOR, count)


class Rows(NamedTuple):
    """N rows of features and what is done to them before anything else."""

    features: Array  # [N, D] any floating dtype, as the caller gave them
    where: Array | None  # [N] bool: rows that are there
    scale: Array  # [] float64, a power of two: the largest entry becomes 1 to 2, so that nothing overflows
    mean: Array | None  # [D] float64, of the scaled rows; None where rows are not centred
    present: Array  # [] float64: how many rows are there, on all devices
    axes: tuple[str, ...] = ()  # mesh axes over which the rows are spread; inside shard_map these are one device's
    as_they_lie: bool = False  # not centred, handed out unscaled: whoever reads them scales what comes of them

    @property
    def total(self) -> int:
        """How many rows all devices hold, there or not."""
        return self.features.shape[0] * math.prod(lax.axis_size(axis) for axis in self.axes)

    @property
    def downdate(self) -> Array | float:
        """Factor of the rank-one downdate: leaving out centred row c takes N/(N-1) c c' from the scatter (else c c')."""
        if self.mean is None:
            return 1.0
        return jnp.where(self.present > 1, self.present / jnp.maximum(self.present - 1, 1), 0.0)


def rows_dtype(rows: Rows) -> Any:
    """float64 for float64 features, float32 for all others."""
    return jnp.float64 if rows.features.dtype == jnp.float64 else jnp.float32


def over_devices(rows: Rows, values: Any, reduce: Callable[..., Any] = lax.psum) -> Any:
    """The sum (or what `reduce` says) of every device's values."""
    return reduce(values, rows.axes) if rows.axes else values


def everywhere(rows: Rows, condition: Array) -> Array:
    """Whether every device finds the condition true."""
    return over_devices(rows, jnp.int32(condition), lax.pmin) > 0


def block_starts(count: int, size: int) -> tuple[Array, Array]:
    """Starts of the blocks that cover `count` rows, and the first row that is new in each (the last block may overlap)."""
    first_new = jnp.arange(-(-count // size)) * size
    return jnp.minimum(first_new, count - size), first_new


def block_of(rows: Rows, start: Array | int, size: int, dtype: Any) -> Array:
    """Rows start to start + size, ready for use, [size, D] in `dtype`."""
    block = lax.dynamic_slice_in_dim(rows.features, start, size)
    there = None if rows.where is None else lax.dynamic_slice_in_dim(rows.where, start, size)[:, None]
    return _ready(rows, block, there, dtype)


def row_at(rows: Rows, index: Array) -> Array:
    """One row, ready for use, [D] float64."""
    return _ready(rows, rows.features[index], None if rows.where is None else rows.where[index], jnp.float64)


def rows_at(rows: Rows, indices: Array) -> Array:
    """The rows of these indices [B], ready for use, [B, D] float64."""
    there = None if rows.where is None else rows.where[indices][:, None]
    return _ready(rows, rows.features[indices], there, jnp.float64)


def _ready(rows: Rows, block: Array, there: Array | None, dtype: Any) -> Array:
    if rows.mean is None:
        block = block.astype(dtype)
        block = block if rows.as_they_lie else block * rows.scale.astype(dtype)
    else:
        # In float64 and rounded once: a float32 difference of a row and a mean of 100 would lose the row.
        block = (block.astype(jnp.float64) * rows.scale - rows.mean).astype(dtype)
    return block if there is None else jnp.where(there, block, 0)


def reduce_blocks(rows: Rows, contribution: Callable[[Any, Array], Any], initial: Any, dtype: Any) -> Any:
    """Fold a sum, `contribution(carry, block [B, D]) -> carry` from zeros, over all rows, on all devices.

    Each row is met once: the rows after the last whole block are a smaller one.
    """
    count = rows.features.shape[0]
    size = block_rows(count)
    whole = count // size

    def step(carry: Any, start: Array) -> tuple[Any, None]:
        return contribution(carry, block_of(rows, start, size, dtype)), None

    total = lax.scan(step, initial, jnp.arange(whole) * size)[0]
    if count % size:
        total = contribution(total, block_of(rows, whole * size, count % size, dtype))
    return over_devices(rows, total)


def map_blocks(rows: Rows, function: Callable[[Array], Any], dtype: Any) -> Any:
    """`function(block [B, D]) -> pytree of [B] arrays`, for all rows: a pytree of [N] arrays."""
    count = rows.features.shape[0]
    size = block_rows(count)
    if size == count:
        return function(block_of(rows, 0, size, dtype))
    shapes = jax.eval_shape(lambda: function(block_of(rows, 0, size, dtype)))
    initial = jax.tree.map(lambda s: jnp.zeros((count, *s.shape[1:]), s.dtype), shapes)

    def step(results: Any, start: Array) -> tuple[Any, None]:
        values = function(block_of(rows, start, size, dtype))
        return jax.tree.map(
            lambda all_, new: lax.dynamic_update_slice_in_dim(all_, new, start, 0), results, values
        ), None

    return lax.scan(step, initial, block_starts(count, size)[0])[0]


def unit_scale(largest: Array, limit: int) -> Array:
    """The power of two, from 2^-limit to 2^limit, that brings float64 magnitudes to 1..2; 1 for zeros.

    From the bits: jax 0.12 expands jnp.frexp and jnp.ldexp late, when 64-bit types may be off again.
    """
    bits = lax.bitcast_convert_type(jnp.where(largest > 0, largest, 1), jnp.int64)
    exponent = jnp.clip(1023 - (bits >> 52), -limit, limit)
    return lax.bitcast_convert_type((exponent + 1023) << 52, jnp.float64)


def prepare(features: Array, where: Array | None, center: bool, axes: tuple[str, ...] = ()) -> Rows:
    """Find the power of two that brings the largest entry to 1..2, the count and (for `center`) the mean."""
    rows = Rows(features, where, jnp.float64(1), None, jnp.float64(0), axes)
    magnitude = jnp.abs(features) if where is None else jnp.where(where[:, None], jnp.abs(features), 0)
    largest = jnp.max(magnitude, initial=0).astype(jnp.float64)
    # No number may come out of an infinite feature; and a maximum over devices may lose a NaN.
    spoilt = over_devices(rows, jnp.int32(~jnp.isfinite(largest)), lax.pmax)
    largest = jnp.where(spoilt > 0, jnp.nan, over_devices(rows, largest, lax.pmax))
    limit = 1000 if features.dtype == jnp.float64 else 126  # the scale itself must be a normal number
    scale = jnp.where(jnp.isnan(largest), jnp.nan, unit_scale(largest, limit))
    present = jnp.float64(rows.total) if where is None else over_devices(rows, jnp.sum(where, dtype=jnp.float64))
    rows = rows._replace(scale=scale, present=present)
    if not center:
        return rows
    total = reduce_blocks(
        rows, lambda carry, block: carry + jnp.sum(block, 0), jnp.zeros(features.shape[1], jnp.float64), jnp.float64
    )
    return rows._replace(mean=total / jnp.maximum(present, 1))
