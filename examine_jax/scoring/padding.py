"""Pads rows to a few sizes, so that direct calls with many different N share compiled programs.

A program is compiled for one shape, which takes seconds and memory. Calls from a user's own jit,
and arrays that are spread over devices, are not padded: there, the user chooses the shapes.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from examine_jax.scoring.equations.float64 import float64_types

_SIZES = 2  # per power of two
_SIZES_OF_COSTLY_CALLS = 8
_FEWEST_ROWS = 16
# Multiplications. Calls with more are padded only if rows take a small part of the time, to sizes
# closer together, and if there are at most so many entries.
_CHEAP_CALL = 2**26
_MOST_ENTRIES = 2**22

Results = TypeVar("Results")


class Padded(NamedTuple):
    """Rows, mask and the number of rows that were given; `rows` may be as they were given."""

    rows: jax.Array | np.ndarray
    where: jax.Array | np.ndarray | None
    number: int

    def trim(self, results: Results) -> Results:
        """The results of the given rows; arrays without a row axis stay as they are."""
        return trim(results, self.rows.shape[0], self.number)


def pad(
    rows: jax.Array | np.ndarray,
    where: jax.Array | np.ndarray | None,
    limits: tuple[int, ...] | None,
    *,
    costly_too: bool = False,
) -> Padded:
    """Rows [N, D] and their mask, with rows of zeros that are masked out.

    Args:
        rows: [N, D].
        where: [N] bool or None.
        limits: numbers of rows at which the computation changes; padding crosses none of them.
            None: rows are not padded.
        costly_too: costly calls are padded too, by up to an eighth.
    """
    count = rows.shape[0]
    sizes = _SIZES
    can_be_padded = limits is not None and _here(rows) and (where is None or _here(where))
    if can_be_padded and not is_cheap(rows):
        sizes = _SIZES_OF_COSTLY_CALLS
        can_be_padded = costly_too and rows.size <= _MOST_ENTRIES
    if limits is None or not can_be_padded:
        return Padded(rows, where, count)
    size = padded_count(count, limits, sizes)
    # Calls that need no padding are masked too: else each size would have two programs.
    mask = np.zeros(size, bool)
    mask[:count] = True if where is None else np.asarray(where)
    return Padded(_extended(rows, size, repeat=False), placed_as(rows, mask), count)


def pad_by_repeating(rows: jax.Array | np.ndarray) -> Padded:
    """Rows [M, D], the last of them repeated, for computations of each row alone."""
    count = rows.shape[0]
    if not (_here(rows) and is_cheap(rows)):
        return Padded(rows, None, count)
    return Padded(_extended(rows, padded_count(count), repeat=True), None, count)


def pad_vector(values: jax.Array | np.ndarray, size: int) -> jax.Array | np.ndarray:
    """Values [N] with zeros up to `size`."""
    if values.shape[0] == size:
        return values
    extended = np.zeros(size, values.dtype)
    extended[: values.shape[0]] = np.asarray(values)
    return placed_as(values, extended)


def trim(results: Results, size: int, count: int) -> Results:
    """The first `count` entries of every array that is not a single number."""
    if size == count:
        return results
    leaves, structure = jax.tree.flatten(results)
    with float64_types():
        if is_traced(results):  # in a user's jit, of features that are known
            inside: Results = jax.tree.map(
                lambda leaf: leaf[:count] if leaf.ndim else leaf, results
            )
            return inside
        # NumPy cuts the arrays: JAX would compile a program for each size.
        cut = jax.device_put(
            [np.asarray(leaf)[:count] if leaf.ndim else leaf for leaf in leaves],
            [leaf.sharding if leaf.committed else None for leaf in leaves],
        )
    trimmed: Results = jax.tree.unflatten(structure, cut)
    return trimmed


def here_on_cpu(array: jax.Array | np.ndarray | None) -> bool:
    """Whether JAX would compute with the array on this host's CPU, in one place; so for None."""
    if not isinstance(array, jax.Array):
        return jax.default_backend() == "cpu"
    return _here(array) and next(iter(array.devices())).platform == "cpu"


def is_cheap(rows: jax.Array | np.ndarray) -> bool:
    """Whether a call with these rows is so cheap that padding them costs next to no time."""
    return rows.size * min(rows.shape) <= _CHEAP_CALL


def is_traced(results: Any) -> bool:
    """Whether results are inside a trace, where their values are unknown.

    Results may be traced although no argument is: `jit` traces all that its function computes.
    """
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(results))


def padded_count(count: int, limits: tuple[int, ...] = (), sizes: int = _SIZES) -> int:
    """The number of rows to which `count` rows are padded: one of `sizes` per power of two."""
    size = max(next_size(count, sizes), _FEWEST_ROWS)
    return min([size, *(limit for limit in limits if count <= limit)])


def next_size(count: int, sizes: int = _SIZES) -> int:
    """The next of the numbers 2^k (1 + i / sizes) from `count` up."""
    step = max((1 << max(count - 1, 1).bit_length() - 1) // sizes, 1)
    return -(-count // step) * step


def _here(array: jax.Array | np.ndarray) -> bool:
    """Whether the array has values, and these are in one place."""
    if isinstance(array, jax.core.Tracer):
        return False
    return not isinstance(array, jax.Array) or len(array.sharding.device_set) == 1


def _extended(rows: jax.Array | np.ndarray, size: int, *, repeat: bool) -> jax.Array | np.ndarray:
    count = rows.shape[0]
    if size == count:
        return rows
    if isinstance(rows, jax.Array) and rows.devices().pop().platform != "cpu":
        mode = "edge" if repeat else "constant"
        return jax.numpy.pad(rows, ((0, size - count), (0, 0)), mode=mode)
    # NumPy, because JAX would compile a program for each size.
    given = np.asarray(rows)
    extended = np.empty((size, given.shape[1]), given.dtype)
    extended[:count] = given
    extended[count:] = given[-1] if repeat else 0
    return placed_as(rows, extended)


def placed_as(given: jax.Array | np.ndarray, array: np.ndarray) -> jax.Array | np.ndarray:
    """The array where `given` is, so that no call transfers what the user did not transfer."""
    if not isinstance(given, jax.Array):
        return array
    with float64_types():
        on_device: jax.Array = jax.device_put(array, given.sharding if given.committed else None)
    return on_device
