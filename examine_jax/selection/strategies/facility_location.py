"""Facility location: the chosen images' squared distances to all others are least."""

import dataclasses

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Int, Key
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.selection.coverage import ALL_PAIRS_IF_FEW, Sampling, greedy_cover
from examine_jax.selection.pool import Choice, Pool


@dataclasses.dataclass(frozen=True)
class FacilityLocation:
    """Next is the image that most lowers the squared distance to the nearest chosen image.

    Squared distances are summed over all images of the pool. Of rows of unit length ("l2"), the
    squared distance is 2 - 2 cosine, so this is facility location with cosine similarity. The first
    choice is the medoid.

    Attributes:
        preprocessing: of the features; see `points_of`.
        sampling: how much of a large pool is looked at.

    Source: Wei et al., Submodularity in data subset selection and active learning, 2015.
    """

    preprocessing: Preprocessing = "l2"
    sampling: Sampling = ALL_PAIRS_IF_FEW

    def choose(self, pool: Pool, budget: int, key: Key[Array, ""]) -> Choice:
        """The greedy choice, in order: the first k rows are the greedy choice of k."""
        far = pool.points.far
        return greedy_cover(pool, budget, closeness, far, self.sampling, key, medoid_first=True)


def closeness(distance: Int[Array, "q n"], far: Int[Array, ""]) -> Int[Array, "q n"]:
    """The parameter, a number greater than any squared distance, less the squared distance.

    Of the fine grid's 44 bits, the last 13 are dropped.
    """
    unused = 13 if distance.dtype == jnp.int64 else 0
    return ((far - distance) >> unused).astype(jnp.int32)
