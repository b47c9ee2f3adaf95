"""The rows that a solver receives: masked, scaled and centred, one block at a time.

Features may fill most of the memory, so this module builds no N x D array if N > D.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from examine_jax.common.shapes import Array

# Rows per block: enough that matrix products run at full speed, and so few that a block stays in a
# CPU's cache.
_ROWS_ON_CPU = 2048
_ROWS_ON_ACCELERATOR = 16_384
# Where a block has several arrays of its size as results, fewer rows stay in the cache.
_MAPPED_ROWS_ON_CPU = 512

Tree = TypeVar("Tree")


def block_rows(count: int, on_cpu: int = _ROWS_ON_CPU) -> int:
    """The number of rows per block, for `count` rows in total."""
    return min(on_cpu if jax.default_backend() == "cpu" else _ROWS_ON_ACCELERATOR, count)


class Rows(NamedTuple):
    """N rows of features, and the mask, scale and mean that are applied before anything else.

    Attributes:
        features: [N, D] of any floating dtype, as the caller passed them.
        where: [N] bool, True for rows that are present; None: all are present.
        scale: [] float64, a power of two that brings the largest entry to 1..2, so that no product
            overflows.
        mean: [D] float64, that of the scaled rows; None if rows are not centred.
        present: [] float64, the number of present rows on all devices together.
        axes: mesh axes over which the rows are sharded. Inside shard_map, `features` and `where`
            are those of one device.
        unscaled: True: rows are neither centred nor scaled; the caller scales the results.
        mean_rest: [D] float64, the rounding error of `mean`: the exact mean minus `mean`. None: not
            computed.
    """

    features: Array
    where: Array | None
    scale: Array
    mean: Array | None
    present: Array
    axes: tuple[str, ...] = ()
    unscaled: bool = False
    mean_rest: Array | None = None

    @property
    def total(self) -> int:
        """The number of rows on all devices, present or not."""
        return self.features.shape[0] * math.prod(lax.axis_size(axis) for axis in self.axes)

    @property
    def downdate(self) -> Array | float:
        """The factor of the rank-one downdate.

        Leaving out a centred row c subtracts N/(N-1) c c' from the scatter. Leaving out a row f
        that is not centred subtracts f f'.
        """
        if self.mean is None:
            return 1.0
        return jnp.where(self.present > 1, self.present / jnp.maximum(self.present - 1, 1), 0.0)


def rows_dtype(rows: Rows) -> np.dtype:
    """The results' dtype: float64 for float64 features, float32 for all others."""
    return np.dtype(np.float64 if rows.features.dtype == np.float64 else np.float32)


def over_devices(rows: Rows, values: Tree, reduce: Callable[..., Any] = lax.psum) -> Tree:
    """The sum of all devices' values, or another reduction, such as `lax.pmax`."""
    reduced: Tree = reduce(values, rows.axes) if rows.axes else values
    return reduced


def true_on_all_devices(rows: Rows, condition: Array) -> Array:
    """Whether the condition is true on every device."""
    lowest: Array = over_devices(rows, jnp.int32(condition), lax.pmin)
    return lowest > 0


def block_starts(count: int, size: int) -> tuple[Array, Array]:
    """The first row of each block, and the first row that no earlier block contains.

    The blocks cover `count` rows; the last block may overlap the previous one.
    """
    first_new = jnp.arange(-(-count // size)) * size
    return jnp.minimum(first_new, count - size), first_new


def block_of(rows: Rows, start: Array | int, size: int, dtype: DTypeLike) -> Array:
    """Rows start to start + size - 1, masked, scaled and centred, [size, D] in `dtype`."""
    block = lax.dynamic_slice_in_dim(rows.features, start, size)
    present = (
        None if rows.where is None else lax.dynamic_slice_in_dim(rows.where, start, size)[:, None]
    )
    return _prepared(rows, block, present, dtype)


def row_at(rows: Rows, index: Array) -> Array:
    """One row, masked, scaled and centred, [D] float64."""
    return _prepared(
        rows, rows.features[index], None if rows.where is None else rows.where[index], jnp.float64
    )


def rows_at(rows: Rows, indices: Array) -> Array:
    """The rows of these indices [B], masked, scaled and centred, [B, D] float64."""
    present = None if rows.where is None else rows.where[indices][:, None]
    return _prepared(rows, rows.features[indices], present, jnp.float64)


def _prepared(rows: Rows, block: Array, present: Array | None, dtype: DTypeLike) -> Array:
    if rows.mean is None:
        block = block.astype(dtype)
        block = block if rows.unscaled else block * rows.scale.astype(dtype)
    else:
        # The mean is subtracted in float64 and the result is rounded once. In float32, subtracting
        # a mean of 100 would lose the digits of a small row.
        centred = block.astype(jnp.float64) * rows.scale - rows.mean
        if rows.mean_rest is not None:
            centred = centred - rows.mean_rest
        block = centred.astype(dtype)
    return block if present is None else jnp.where(present, block, 0)


def reduce_blocks(
    rows: Rows,
    contribution: Callable[[Tree, Array], Tree],
    initial: Tree,
    dtype: DTypeLike,
    on_cpu: int = _ROWS_ON_CPU,
) -> Tree:
    """Sums over all rows on all devices: `contribution(sum, block [B, D]) -> sum`, from `initial`.

    Each row is read once: the rows after the last whole block form a smaller block. On a CPU, a
    block has `on_cpu` rows.
    """
    count = rows.features.shape[0]
    size = block_rows(count, on_cpu)
    whole = count // size

    def step(carry: Tree, start: Array) -> tuple[Tree, None]:
        return contribution(carry, block_of(rows, start, size, dtype)), None

    total: Tree = lax.scan(step, initial, jnp.arange(whole) * size)[0]
    if count % size:
        total = contribution(total, block_of(rows, whole * size, count % size, dtype))
    return over_devices(rows, total)


def map_blocks(rows: Rows, function: Callable[[Array], Tree], dtype: DTypeLike) -> Tree:
    """Applies `function(block [B, D]) -> pytree of [B, ...]` to all rows: [N, ...]."""
    count = rows.features.shape[0]
    size = block_rows(count, _MAPPED_ROWS_ON_CPU)
    if size == count:
        return function(block_of(rows, 0, size, dtype))
    shapes = jax.eval_shape(lambda: function(block_of(rows, 0, size, dtype)))
    initial = jax.tree.map(lambda s: jnp.zeros((count, *s.shape[1:]), s.dtype), shapes)

    def step(results: Tree, start: Array) -> tuple[Tree, None]:
        values = function(block_of(rows, start, size, dtype))
        return jax.tree.map(
            lambda all_, new: lax.dynamic_update_slice_in_dim(all_, new, start, 0), results, values
        ), None

    mapped: Tree = lax.scan(step, initial, block_starts(count, size)[0])[0]
    return mapped


def unit_scale(largest: Array, limit: int) -> Array:
    """The power of two, from 2^-limit to 2^limit, that brings float64 magnitudes to 1..2; 1 for 0.

    It is computed from the bits, because jax 0.12 lowers jnp.frexp and jnp.ldexp after the trace,
    when 64-bit types may be off again.
    """
    bits = lax.bitcast_convert_type(jnp.where(largest > 0, largest, 1), jnp.int64)
    exponent = jnp.clip(1023 - (bits >> 52), -limit, limit)
    return lax.bitcast_convert_type((exponent + 1023) << 52, jnp.float64)


def prepare(features: Array, where: Array | None, center: bool, axes: tuple[str, ...] = ()) -> Rows:
    """Computes the scale, the number of present rows and, for `center`, the mean."""
    rows = Rows(features, where, jnp.float64(1), None, jnp.float64(0), axes)
    magnitude = (
        jnp.abs(features) if where is None else jnp.where(where[:, None], jnp.abs(features), 0)
    )
    largest = jnp.max(magnitude, initial=0).astype(jnp.float64)
    # An infinite feature must give NaN, not a number. A maximum over devices may drop a NaN, so the
    # devices exchange a flag.
    spoilt = over_devices(rows, jnp.int32(~jnp.isfinite(largest)), lax.pmax)
    largest = jnp.where(spoilt > 0, jnp.nan, over_devices(rows, largest, lax.pmax))
    limit = 1000 if features.dtype == jnp.float64 else 126  # the scale must be a normal number
    scale = jnp.where(jnp.isnan(largest), jnp.nan, unit_scale(largest, limit))
    present = (
        jnp.float64(rows.total)
        if where is None
        else over_devices(rows, jnp.sum(where, dtype=jnp.float64))
    )
    rows = rows._replace(scale=scale, present=present)
    if not center:
        return rows

    def mean_of(rows: Rows) -> Array:
        total = reduce_blocks(
            rows,
            lambda carry, block: carry + jnp.sum(block, 0),
            jnp.zeros(features.shape[1], jnp.float64),
            jnp.float64,
        )
        return total / jnp.maximum(present, 1)

    # The rounding error of the first mean is in proportion to the rows' distance from the origin.
    # The mean of the centred rows is that error. Its own rounding is in proportion to the rows'
    # spread.
    rows = rows._replace(mean=mean_of(rows))
    return rows._replace(mean_rest=mean_of(rows))


def mean_rounding(count: int, square: Array | float, present: Array) -> Array:
    """A bound on the error of the mean of `prepare`, its rest included (Euclidean norm).

    Args:
        count: the number of rows in the sum.
        square: the sum of the centred rows' squared lengths.
        present: the number of rows that are present.
    """
    return 2.0**-51 * (17.0 + math.sqrt(count)) * jnp.sqrt(square / jnp.maximum(present, 1))
