"""Images at random."""

import dataclasses

import jax
import numpy as np

from examine_jax.common.shapes import Array, Key
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.selection.order import first_of_order
from examine_jax.selection.pool import Choice, Pool


@dataclasses.dataclass(frozen=True)
class Random:
    """A random order of the pool: what every other strategy must beat.

    Attributes:
        preprocessing: of the features, by which near duplicates are recognised.
    """

    preprocessing: Preprocessing = "l2"

    def choose(self, pool: Pool, budget: int, key: Key[Array, ""]) -> Choice:
        """The first open rows of the order. A second round goes on in the same order."""
        return first_of_order(pool, np.asarray(jax.random.permutation(key, len(pool))), budget)
