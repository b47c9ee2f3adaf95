"""Exact squared distances between points, in blocks of fixed size, on one device or several."""

import contextlib
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from examine_jax.common.shapes import Array, Int
from examine_jax.selection.points import Points

BLOCK = 1024  # rows a block: a block's products stay in the cache
_CENTRES = 1024  # at most so many are compared at a time
_STREAMED = 65_536  # rows that are on the device at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks:
    """Points on the devices: rows [blocks, rows, D], squares [blocks, rows].

    If there are several devices, each holds a share of every block's rows.

    Attributes:
        rows: the points; zeros after the last.
        squares: their squared lengths.
        count: how many points there are.
    """

    rows: Int[Array, "blocks block d"]
    squares: Int[Array, "blocks block"]
    count: int

    @classmethod
    def of(cls, points: Points) -> "Blocks":
        """The points in blocks, spread over all devices of this process."""
        devices = jax.local_devices()
        block = min(BLOCK, _power_of_two(len(points)))
        block = -(-block // len(devices)) * len(devices)
        num = max(-(-len(points) // block), 1)
        rows = np.zeros((num * block, points.rows.shape[1]), points.rows.dtype)
        rows[: len(points)] = points.rows
        return cls(
            spread(rows.reshape(num, block, -1)),
            spread(padded(points.squares, num * block, 0).reshape(num, block)),
            len(points),
        )

    def filled(self, value: int, padding: int, dtype: Any = np.int32) -> Int[Array, "blocks block"]:
        """One number a point: `value`, and `padding` after the last point."""
        return self.holding(np.full(self.count, value, dtype), padding)

    def holding(self, values: Int[np.ndarray, " n"], padding: int) -> Int[Array, "blocks block"]:
        """These numbers, one a point, and `padding` after the last point."""
        shape = self.squares.shape
        flat = padded(values, shape[0] * shape[1], padding)
        with wide_types():
            # A copy: what is donated later must not be NumPy's memory.
            return jnp.copy(spread(flat.reshape(shape)))


def _power_of_two(count: int) -> int:
    """At least the count and 16: few different sizes are few programs to compile."""
    return max(16, 1 << (count - 1).bit_length())


def spread(array: np.ndarray) -> Array:
    """The array on the devices: its second axis is shared out if there are several.

    The CPU may share NumPy's memory, so nothing may write to the array afterwards.
    """
    devices = jax.local_devices()
    with wide_types():
        if len(devices) == 1:
            return jax.device_put(array)
        mesh = Mesh(np.array(devices), ("rows",))
        return jax.device_put(array, NamedSharding(mesh, PartitionSpec(None, "rows")))


def empty_table(blocks: int, columns: int, block: int) -> Int[Array, "blocks columns block"]:
    """Zeros, int32, spread over the devices as the rows of blocks are."""
    devices = jax.local_devices()
    if len(devices) == 1:
        return jnp.zeros((blocks, columns, block), jnp.int32)
    mesh = Mesh(np.array(devices), ("rows",))
    where = NamedSharding(mesh, PartitionSpec(None, None, "rows"))
    return jnp.zeros((blocks, columns, block), jnp.int32, device=where)


def wide_types() -> contextlib.AbstractContextManager[None]:
    """Allows 64-bit types, in which distances between few points are computed, and all sums."""
    return jax.enable_x64(True)


def padded(values: Int[np.ndarray, " n"], size: int, value: int) -> Int[np.ndarray, " size"]:
    """The values, followed by `value` up to the size."""
    found = np.full(size, value, values.dtype)
    found[: len(values)] = values
    return found


def squared_distances(
    rows: Int[Array, "n d"],
    squares: Int[Array, " n"],
    queries: Int[Array, "q d"],
    query_squares: Int[Array, " q"],
) -> Int[Array, "q n"]:
    """Exact squared distances, of the type of the squares."""
    # The grid is such that this type holds every partial sum of a product exactly.
    real = jnp.float32 if rows.dtype == jnp.int16 else jnp.float64
    products = jnp.matmul(
        queries.astype(real), rows.astype(real).T, precision=lax.Precision.HIGHEST
    )
    return squares[None] + query_squares[:, None] - 2 * products.astype(squares.dtype)


def nearest_centres(
    points: Points, centres: Points
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """For each point, the index of the nearest centre and the squared distance to it.

    Of equally near centres, the first. Points are streamed to the device: memory beyond the
    arguments and results does not grow with their number.

    Args:
        points: N points.
        centres: K >= 1 points of the same grid.

    Returns:
        Indices [N] int32 and squared distances [N], in steps of the grid.
    """
    chunk = min(_CENTRES, _power_of_two(len(centres)))
    num = -(-len(centres) // chunk)
    rows = np.zeros((num * chunk, centres.rows.shape[1]), centres.rows.dtype)
    rows[: len(centres)] = centres.rows
    squares = padded(centres.squares, num * chunk, centres.far)
    index = np.empty(len(points), np.int32)
    distance = np.empty(len(points), points.squares.dtype)
    for start in range(0, len(points), _STREAMED):
        stop = min(start + _STREAMED, len(points))
        part = Points(points.rows[start:stop], points.squares[start:stop], points.unit)
        blocks = Blocks.of(part)
        with wide_types():
            found, near = _nearest(
                blocks.rows,
                blocks.squares,
                rows.reshape(num, chunk, -1),
                squares.reshape(num, chunk),
            )
        index[start:stop] = np.asarray(found).ravel()[: stop - start]
        distance[start:stop] = np.asarray(near).ravel()[: stop - start]
    return index, distance


@jax.jit
def _nearest(
    rows: Int[Array, "blocks block d"],
    squares: Int[Array, "blocks block"],
    centres: Int[Array, "chunks chunk d"],
    centre_squares: Int[Array, "chunks chunk"],
) -> tuple[Int[Array, "blocks block"], Int[Array, "blocks block"]]:
    def of_block(block: tuple[Array, Array]) -> tuple[Array, Array]:
        own, own_squares = block

        def compare(
            best: tuple[Array, Array], chunk: tuple[Array, Array, Array]
        ) -> tuple[tuple[Array, Array], None]:
            index, distance = best
            others, other_squares, first = chunk
            new = squared_distances(others, other_squares, own, own_squares)
            near = new.min(axis=1)
            place = first + jnp.argmin(new, axis=1).astype(jnp.int32)
            nearer = near < distance
            return (jnp.where(nearer, place, index), jnp.where(nearer, near, distance)), None

        most = jnp.iinfo(own_squares.dtype).max
        start = (jnp.zeros_like(own_squares, jnp.int32), jnp.full_like(own_squares, most))
        firsts = jnp.arange(centres.shape[0], dtype=jnp.int32) * centres.shape[1]
        best, _ = lax.scan(compare, start, (centres, centre_squares, firsts))
        return best

    return lax.map(of_block, (rows, squares))


@functools.partial(jax.jit, donate_argnums=0)
def nearer(
    distance: Int[Array, "blocks block"],
    rows: Int[Array, "blocks block d"],
    squares: Int[Array, "blocks block"],
    query: Int[Array, "one d"],
    query_square: Int[Array, " one"],
) -> Int[Array, "blocks block"]:
    """The squared distances [blocks, block] to the nearest chosen point, with one point more."""

    def of_block(block: tuple[Array, Array, Array]) -> Array:
        own, own_squares, near = block
        return jnp.minimum(near, squared_distances(own, own_squares, query, query_square)[0])

    return lax.map(of_block, (rows, squares, distance))


def host_squared_distances(points: Points, others: Points) -> Int[np.ndarray, "n m"]:
    """Exact squared distances of a few points, by NumPy: no program is compiled."""
    # Exact as on the devices.
    real: Any = np.float32 if points.rows.dtype == np.int16 else np.float64
    products = points.rows.astype(real) @ others.rows.astype(real).T
    return (
        points.squares[:, None] + others.squares[None] - 2 * products.astype(points.squares.dtype)
    )


def nearest_earlier(points: Points, num_before: int) -> Int[np.ndarray, " later"]:
    """For each point from `num_before` on, the nearest of all points before it; -1 if none is.

    Of equally near ones, the first.
    """
    found = np.full(len(points) - num_before, -1, np.int64)
    for start in range(num_before, len(points), BLOCK):
        stop = min(start + BLOCK, len(points))
        some = np.arange(start, stop)
        distance = host_squared_distances(points.take(some), points.take(np.arange(stop)))
        distance[np.arange(stop)[None] >= some[:, None]] = points.far
        found[some - num_before] = np.where(some > 0, distance.argmin(axis=1), -1)
    return found
