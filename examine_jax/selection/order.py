"""Choices along an order of the whole pool, and farthest first."""

import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Bool, Int
from examine_jax.selection.distances import (
    Blocks,
    host_squared_distances,
    nearer,
    nearest_centres,
    wide_types,
)
from examine_jax.selection.pool import Allowance, Choice, Pool

_AT_ONCE = 1024


def first_of_order(pool: Pool, order: Int[np.ndarray, " n"], budget: int) -> Choice:
    """The first open rows of an order, without near duplicates of earlier or labelled rows."""
    allowance = Allowance(pool)
    chosen: list[int] = []
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        some = some[allowance.open[some]]
        some = some[~_near_any(pool, some, np.concatenate([pool.labelled, chosen]).astype(int))]
        own, new = _near(pool, some, some), np.zeros(len(some), bool)
        for place, row in enumerate(some.tolist()):
            if len(chosen) == budget:
                return Choice(np.array(chosen, np.int64))
            if allowance.open[row] and not own[place, new].any():
                allowance.take(row)
                chosen.append(row)
                new[place] = True
    return Choice(np.array(chosen, np.int64))


def farthest_first(pool: Pool, budget: int) -> Int[np.ndarray, " chosen"]:
    """Next is the open row farthest from those chosen or labelled; the lowest index wins ties.

    The first is the row nearest to the pool's mean, if nothing is labelled.
    """
    allowance, blocks = Allowance(pool), Blocks.of(pool.points)
    distance = blocks.filled(pool.points.far, -1, pool.points.squares.dtype)
    if len(pool.labelled):
        near = nearest_centres(pool.points, pool.points.take(pool.labelled))[1]
        distance = blocks.holding(near, -1)
    chosen: list[int] = []
    while len(chosen) < budget and allowance.open.any():
        if not chosen and not len(pool.labelled):
            row = int(np.argmin(np.where(allowance.open, pool.points.squares, pool.points.far)))
        else:
            near = np.array(distance).ravel()[: len(pool)]
            row = int(np.argmax(np.where(allowance.open, near, -1)))
        allowance.take(row)
        chosen.append(row)
        distance = _with(distance, blocks, pool, row)
        pool.on_progress(len(chosen), budget)
    return np.array(chosen, np.int64)


def _with(distance: jnp.ndarray, blocks: Blocks, pool: Pool, row: int) -> jnp.ndarray:
    own = pool.points.take(np.array([row]))
    with wide_types():
        return nearer(distance, blocks.rows, blocks.squares, own.rows, own.squares)


def _near(
    pool: Pool, rows: Int[np.ndarray, " rows"], others: Int[np.ndarray, " others"]
) -> Bool[np.ndarray, "rows others"]:
    distance = host_squared_distances(pool.points.take(rows), pool.points.take(others))
    return distance <= pool.points.near


def _near_any(
    pool: Pool, rows: Int[np.ndarray, " rows"], others: Int[np.ndarray, " others"]
) -> Bool[np.ndarray, " rows"]:
    found = np.zeros(len(rows), bool)
    for start in range(0, len(others), _AT_ONCE):
        found |= _near(pool, rows, others[start : start + _AT_ONCE]).any(axis=1)
    return found
