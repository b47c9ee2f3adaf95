"""The medoids of k-means clusters."""

import dataclasses

import jax
import numpy as np

from examine_jax.common.shapes import Array, Int, Key
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.selection.coverage import ALL_PAIRS_IF_FEW, Sampling, cover, greedy_cover
from examine_jax.selection.distances import nearest_centres
from examine_jax.selection.k_means import k_means
from examine_jax.selection.points import Points
from examine_jax.selection.pool import Allowance, Choice, Pool
from examine_jax.selection.strategies.facility_location import closeness


@dataclasses.dataclass(frozen=True)
class KMeansMedoids:
    """The image nearest to the centre of each of K clusters.

    K-means starts from the greedy facility-location choice, which is close to its optimum. Labelled
    images are centres that do not move. The medoids are then put in the greedy order of facility
    location, so that the first k of them cover the pool well for every k.

    Attributes:
        preprocessing: of the features; see `points_of`.
        iterations: of k-means, at most.
        sampling: how much of a large pool is looked at. For the start and the order, two candidates
            and two covered images a choice are enough, whatever it says.

    Source: clusters' medoids as the cold start of active learning: Zhu et al., Active learning with
        sampling by uncertainty and density, 2008; Jin et al., One-shot active learning for image
        segmentation via contrastive learning and diversity-based sampling, 2022.
    """

    preprocessing: Preprocessing = "zscore"
    iterations: int = 20
    sampling: Sampling = ALL_PAIRS_IF_FEW

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}")

    def choose(self, pool: Pool, budget: int, key: Key[Array, ""]) -> Choice:
        """One image of each cluster; fewer where groups allow none of a cluster."""
        far, num_chosen = pool.points.far, budget + len(pool.labelled)
        # The greedy choice is most of the work. It is the start and the order alone.
        coarse = dataclasses.replace(self.sampling, candidates_a_choice=2, covered_a_choice=2)
        seeds = greedy_cover(pool, budget, closeness, far, coarse, key, medoid_first=True)
        if len(pool) > self.sampling.exact_rows:
            order = np.asarray(jax.random.permutation(key, len(pool)))[::-1]
            averaged = np.sort(order[: self.sampling.num_covered(num_chosen)])
            covered = np.sort(order[: coarse.num_covered(num_chosen)])
        else:
            averaged = covered = np.arange(len(pool))
        start = np.concatenate([pool.labelled, seeds.rows])
        centres, _ = k_means(
            pool.points.take(averaged),
            pool.points.take(start),
            iterations=self.iterations,
            fixed=len(pool.labelled),
        )
        medoids = _medoids(pool, centres, len(pool.labelled))
        rows = cover(pool, budget, closeness, far, np.sort(medoids), covered, medoid_first=True)
        # Of a sample, some medoids cover no row: they come last, of the largest clusters first.
        rest = medoids[~np.isin(medoids, rows)]
        return Choice(np.concatenate([rows, rest]), seeds.facts)


def _medoids(pool: Pool, centres: Points, fixed: int) -> Int[np.ndarray, " medoids"]:
    """The open row of each cluster that is nearest to its centre, largest clusters first."""
    cluster, distance = nearest_centres(pool.points, centres)
    sizes = np.bincount(cluster, minlength=len(centres))
    allowance = Allowance(pool)
    order = np.lexsort((np.arange(len(pool)), distance, cluster))
    ends = np.cumsum(sizes)
    found = []
    for own in (fixed + np.argsort(-sizes[fixed:], kind="stable")).tolist():
        members = order[ends[own] - sizes[own] : ends[own]]
        can = members[allowance.open[members]]
        if len(can):
            allowance.take(int(can[0]))
            found.append(int(can[0]))
    return np.array(found, np.int64)
