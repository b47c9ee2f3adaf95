"""The images that are to be covered, and what a further image would add."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array, Int
from examine_jax.selection.distances import (
    Blocks,
    empty_table,
    padded,
    squared_distances,
    wide_types,
)
from examine_jax.selection.points import Points

# A similarity is an int32 from 0 on, made of an exact squared distance and a parameter.
Similarity = Callable[[Array, Array], Array]

MOST_QUERIES = 256
_SIZES = (16, 64, MOST_QUERIES)  # of a batch of queries: few sizes are few programs to compile
# Similarities of so many pairs are kept, which is 1.75 GiB: to compute them again costs more.
_KEPT = 7 * 2**26
_RECENT = (1024, 8192)  # how many recent changes are looked at, if fewer than the rows by far


class Covered:
    """The rows that are to be covered, and their similarity to the most similar chosen row.

    If there are few, the similarities of all pairs are kept.

    Each choice raises the similarity of some rows. These changes are kept: the gain of a query that
    was known a few choices ago is that gain, less what the rows that have changed since take away.
    """

    def __init__(self, points: Points, candidates: Points, similarity: Similarity, parameter: int):
        self._points, self._blocks = points, Blocks.of(points)
        self._candidates = candidates
        self._similarity, self._parameter = similarity, points.squares.dtype.type(parameter)
        # Nothing raises the similarity of the rows that only fill a block.
        self._best = self._blocks.filled(0, int(np.iinfo(np.int32).max))
        self._seen = np.zeros(len(points), np.int32)
        self._changes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._ends = [0]
        self._table: Array | None = None  # similarities [blocks, columns, block]
        self._column = np.empty(0, np.int64)  # of each candidate in the table

    @property
    def step(self) -> int:
        """How many points have been added, one by one."""
        return len(self._changes)

    def first_gains(
        self, places: Int[np.ndarray, " q"], report: Callable[[int], None]
    ) -> Int[np.ndarray, " q"]:
        """What each of these candidates would add to the coverage.

        Called once, before `gains` or `renewed`. `report` is told how many are done.
        """
        found = np.empty(len(places), np.int64)
        padding = -len(places) % MOST_QUERIES
        num_blocks, block = self._blocks.squares.shape
        if (len(places) + padding) * num_blocks * block > _KEPT:
            for start in range(0, len(places), MOST_QUERIES):
                some = places[start : start + MOST_QUERIES]
                found[start : start + len(some)] = self.gains(some)
                report(start)
            return found
        table = empty_table(num_blocks, len(places) + padding, block)
        self._column = np.full(len(self._candidates), -1)
        self._column[places] = np.arange(len(places))
        for start in range(0, len(places), MOST_QUERIES):
            some = places[start : start + MOST_QUERIES]
            with wide_types():
                table, gains = _fill(
                    table,
                    self._blocks.rows,
                    self._blocks.squares,
                    self._best,
                    *_filled(self._candidates.take(some), MOST_QUERIES),
                    self._parameter,
                    np.int32(start),
                    similarity=self._similarity,
                )
                found[start : start + len(some)] = np.asarray(gains)[: len(some)]
            report(start)
        self._table = table
        return found

    def gains(self, places: Int[np.ndarray, " q"]) -> Int[np.ndarray, " q"]:
        """What each of at most 256 candidates would add to the coverage."""
        size = _size_of(places)
        with wide_types():
            if self._table is not None:
                columns = padded(self._column[places].astype(np.int32), size, 0)
                found = _kept_gains(self._table, self._best, columns)
            else:
                found = _gains(
                    self._blocks.rows,
                    self._blocks.squares,
                    self._best,
                    *_filled(self._candidates.take(places), size),
                    self._parameter,
                    similarity=self._similarity,
                )
            return np.asarray(found)[: len(places)]

    def renewed(
        self,
        places: Int[np.ndarray, " q"],
        gains: Int[np.ndarray, " q"],
        known: Int[np.ndarray, " q"],
    ) -> Int[np.ndarray, " q"]:
        """The gains of at most 256 candidates, of which earlier gains are known.

        Args:
            places: the candidates.
            gains: what each would have added at its step.
            known: the step of each.
        """
        if self._table is not None:
            return self.gains(places)
        ends = np.array(self._ends)
        since = ends[-1] - ends[known]
        windows = [size for size in _RECENT if 4 * size <= len(self._points)]
        found = gains.copy()
        far = np.flatnonzero(since > max(windows, default=0))
        if len(far):
            found[far] = self.gains(places[far])
        near = np.flatnonzero((since > 0) & (since <= max(windows, default=0)))
        if len(near):
            window = next(size for size in windows if size >= since[near].max())
            found[near] -= self._lost(places[near], since[near], window)
        return found

    def _lost(
        self, places: Int[np.ndarray, " q"], since: Int[np.ndarray, " q"], window: int
    ) -> Int[np.ndarray, " q"]:
        """What the last changes take away from each query's gain.

        `since` says how many of the changes concern each: the last ones.
        """
        rows, old, new = self._recent(window)
        size = _size_of(places)
        with wide_types():
            lost = _lost(
                *_filled(self._points.take(rows), window),
                padded(old, window, 0),
                padded(new, window, 0),
                *_filled(self._candidates.take(places), size),
                padded(since, size, 0),
                self._parameter,
                similarity=self._similarity,
            )
            return np.asarray(lost)[: len(places)]

    def _recent(self, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The last changes, the last first: rows, similarities before and after."""
        parts, count = [], 0
        for change in reversed(self._changes):
            parts.append(change)
            count += len(change[0])
            if count >= most:
                break
        if not parts:
            return (np.empty(0, np.int64), *(np.empty(0, self._seen.dtype),) * 2)
        rows, old, new = (np.concatenate(column)[:most] for column in zip(*parts))
        return rows, old, new

    def add_all(self, queries: Points) -> None:
        """These points, at most 256, are chosen before the first step."""
        self._add(queries, 1 if len(queries) == 1 else MOST_QUERIES)
        self._seen = np.array(self._best).ravel()[: len(self._points)]

    def add(self, place: int) -> None:
        """This candidate is chosen: one step."""
        self._add(self._candidates.take(np.array([place])), 1)
        seen = np.array(self._best).ravel()[: len(self._points)]  # a copy: it is donated
        rows = np.flatnonzero(seen != self._seen)
        self._changes.append((rows, self._seen[rows], seen[rows]))
        self._ends.append(self._ends[-1] + len(rows))
        self._seen = seen

    def _add(self, queries: Points, size: int) -> None:
        # Repeating a point changes nothing.
        own = queries.take(np.minimum(np.arange(size), len(queries) - 1))
        with wide_types():
            self._best = _add(
                self._best,
                self._blocks.rows,
                self._blocks.squares,
                own.rows,
                own.squares,
                self._parameter,
                similarity=self._similarity,
            )


def _size_of(queries: Int[np.ndarray, " q"]) -> int:
    return next(size for size in _SIZES if size >= len(queries))


def _filled(
    points: Points, size: int
) -> tuple[Int[np.ndarray, "size d"], Int[np.ndarray, " size"]]:
    """Rows and squares, followed by zeros up to the size."""
    rows = np.zeros((size, points.rows.shape[1]), points.rows.dtype)
    rows[: len(points)] = points.rows
    return rows, padded(points.squares, size, 0)


@functools.partial(jax.jit, static_argnames="similarity")
def _lost(
    rows: Int[Array, "changes d"],
    squares: Int[Array, " changes"],
    old: Int[Array, " changes"],
    new: Int[Array, " changes"],
    queries: Int[Array, "q d"],
    query_squares: Int[Array, " q"],
    since: Int[Array, " q"],
    parameter: Int[Array, ""],
    *,
    similarity: Similarity,
) -> Int[Array, " q"]:
    distance = squared_distances(rows, squares, queries, query_squares)
    own = similarity(distance, parameter)
    lost = jnp.maximum(own - old[None], 0) - jnp.maximum(own - new[None], 0)
    concerns = jnp.arange(rows.shape[0])[None] < since[:, None]
    return jnp.where(concerns, lost, 0).astype(jnp.int64).sum(axis=1)


@functools.partial(jax.jit, static_argnames="similarity", donate_argnums=0)
def _fill(
    table: Int[Array, "blocks columns block"],
    rows: Int[Array, "blocks block d"],
    squares: Int[Array, "blocks block"],
    best: Int[Array, "blocks block"],
    queries: Int[Array, "q d"],
    query_squares: Int[Array, " q"],
    parameter: Int[Array, ""],
    start: Int[Array, ""],
    *,
    similarity: Similarity,
) -> tuple[Int[Array, "blocks columns block"], Int[Array, " q"]]:
    """Keeps the similarities to some queries; returns their gains too."""

    def of_block(block: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        own, own_squares, covered = block
        found = similarity(squared_distances(own, own_squares, queries, query_squares), parameter)
        return found, jnp.maximum(found - covered[None], 0).astype(jnp.int64).sum(axis=1)

    found, gains = lax.map(of_block, (rows, squares, best))
    return lax.dynamic_update_slice_in_dim(table, found, start, axis=1), gains.sum(axis=0)


@jax.jit
def _kept_gains(
    table: Int[Array, "blocks columns block"],
    best: Int[Array, "blocks block"],
    columns: Int[Array, " q"],
) -> Int[Array, " q"]:
    # Block by block: what is gathered stays in the cache.
    def of_block(block: tuple[Array, Array]) -> Array:
        kept, covered = block
        raised = jnp.maximum(jnp.take(kept, columns, axis=0, mode="clip") - covered[None], 0)
        return raised.astype(jnp.int64).sum(axis=1)

    return lax.map(of_block, (table, best)).sum(axis=0)


@functools.partial(jax.jit, static_argnames="similarity")
def _gains(
    rows: Int[Array, "blocks block d"],
    squares: Int[Array, "blocks block"],
    best: Int[Array, "blocks block"],
    queries: Int[Array, "q d"],
    query_squares: Int[Array, " q"],
    parameter: Int[Array, ""],
    *,
    similarity: Similarity,
) -> Int[Array, " q"]:
    def of_block(block: tuple[Array, Array, Array]) -> Array:
        own, own_squares, covered = block
        distance = squared_distances(own, own_squares, queries, query_squares)
        raised = jnp.maximum(similarity(distance, parameter) - covered[None], 0)
        return raised.astype(jnp.int64).sum(axis=1)

    return lax.map(of_block, (rows, squares, best)).sum(axis=0)


@functools.partial(jax.jit, static_argnames="similarity", donate_argnums=0)
def _add(
    best: Int[Array, "blocks block"],
    rows: Int[Array, "blocks block d"],
    squares: Int[Array, "blocks block"],
    queries: Int[Array, "q d"],
    query_squares: Int[Array, " q"],
    parameter: Int[Array, ""],
    *,
    similarity: Similarity,
) -> Int[Array, "blocks block"]:
    def of_block(block: tuple[Array, Array, Array]) -> Array:
        own, own_squares, covered = block
        distance = squared_distances(own, own_squares, queries, query_squares)
        return jnp.maximum(covered, similarity(distance, parameter).max(axis=0))

    return lax.map(of_block, (rows, squares, best))
