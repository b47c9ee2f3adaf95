"""k-centre: the image farthest from those chosen."""

import dataclasses

import jax
import numpy as np

from examine_jax.common.shapes import Array, Key
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.selection.order import farthest_first
from examine_jax.selection.pool import Choice, Pool


@dataclasses.dataclass(frozen=True)
class KCentre:
    """Next is the image farthest from those chosen: the greatest distance to a chosen one falls.

    The first is the image nearest to the pool's mean. Freaks are far from everything, so they come
    early.

    Attributes:
        preprocessing: of the features; see `points_of`.
        exact_rows: a larger pool is sampled; the choice is then among so many images.

    Source: Sener & Savarese, Active learning for convolutional neural networks: a core-set
        approach, arXiv:1708.00489.
    """

    preprocessing: Preprocessing = "l2"
    exact_rows: int = 262_144

    def choose(self, pool: Pool, budget: int, key: Key[Array, ""]) -> Choice:
        """The greedy choice, in order: the first k rows are the greedy choice of k."""
        if len(pool) <= self.exact_rows:
            return Choice(farthest_first(pool, budget))
        order = np.asarray(jax.random.permutation(key, len(pool)))
        rows = np.union1d(order[: self.exact_rows], pool.labelled)
        found = farthest_first(pool.part(rows), budget)
        return Choice(rows[found], {"candidates": float(len(rows))})
