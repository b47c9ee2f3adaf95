"""EXAMINE: rank 1 first."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Array, Key
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.scoring.chunks import examine_chunks
from examine_jax.scoring.leave_one_out import examine
from examine_jax.selection.order import first_of_order
from examine_jax.selection.pool import Choice, Pool


@dataclasses.dataclass(frozen=True)
class Examine:
    """The order of the paper: the smallest fall of the top singular value first.

    The score is that of the features as they are given, over the pool. What is ranked first is much
    alike, so this is no good choice to label; it is here to be compared with.

    Attributes:
        preprocessing: of the features, by which near duplicates are recognised. The score does not
            see it.
        center: subtract the features' mean before scoring.
    """

    preprocessing: Preprocessing = "l2"
    center: bool = False

    def choose(self, pool: Pool, budget: int, key: Key[Array, ""]) -> Choice:
        """The open rows by gap, smallest first; ties by index."""
        if len(pool) < 2:
            return first_of_order(pool, np.arange(len(pool)), budget)
        width = pool.features.shape[1]
        if len(pool) <= width:
            rows = np.concatenate(list(pool.feature_blocks()))
            gap = examine(rows, center=self.center).gap
        else:
            gap = examine_chunks(_Again(pool), center=self.center).gap
        return first_of_order(pool, np.argsort(np.asarray(gap), kind="stable"), budget)


class _Again:
    """The pool's features, which can be read several times."""

    def __init__(self, pool: Pool):
        self._pool = pool

    def __iter__(self):  # type: ignore[no-untyped-def]
        return self._pool.feature_blocks()
