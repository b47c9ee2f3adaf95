"""TypiClust: the most typical image of each large cluster."""

import dataclasses

import jax
import numpy as np

from examine_jax.common.shapes import Array, Float, Int, Key
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.selection.distances import host_squared_distances, nearest_centres
from examine_jax.selection.k_means import k_means
from examine_jax.selection.points import Points, mask_of
from examine_jax.selection.pool import Allowance, Choice, Pool

_KMEANS_ROWS = 131_072  # at most so many rows make the clusters
_COMPARED = 4096  # at most so many rows of a cluster are looked at as neighbours
_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class TypiClust:
    """Clusters without a label in turn, the largest first; of each, the most typical image.

    Typical is an image whose nearest neighbours in its cluster are near. Images are chosen in
    rounds of 8, 8, 16, 32, …; each round clusters anew, into as many clusters as there will be
    labels. So the first k are a good choice of k.

    Attributes:
        preprocessing: of the features; see `points_of`.
        neighbours: whose mean distance is the opposite of typical.
        most_clusters: the paper's limit; beyond it, clusters with the fewest labels come first.
        smallest: clusters with fewer images come last.
        iterations: of k-means, at most.

    Source: Hacohen et al., Active learning on a budget: opposite strategies suit high and low
        budgets, arXiv:2202.02794.
    """

    preprocessing: Preprocessing = "l2"
    neighbours: int = 20
    most_clusters: int = 500
    smallest: int = 5
    iterations: int = 20

    def __post_init__(self) -> None:
        if min(self.neighbours, self.most_clusters, self.smallest, self.iterations) < 1:
            raise ValueError(
                "neighbours, most_clusters, smallest and iterations must be at least 1"
            )

    def choose(self, pool: Pool, budget: int, key: Key[Array, ""]) -> Choice:
        """Rounds of choices, each with clusters of its own."""
        allowance = Allowance(pool)
        chosen: list[int] = []
        while len(chosen) < budget:
            target = min(budget, max(8, 2 * len(chosen)))
            taken = np.concatenate([pool.labelled, np.array(chosen, np.int64)])
            num = min(len(pool.labelled) + target, self.most_clusters, len(pool))
            cluster = self._clusters(pool.points, num, jax.random.fold_in(key, len(chosen)))
            before = len(chosen)
            self._round(pool, cluster, taken, allowance, chosen, target)
            pool.on_progress(len(chosen), budget)
            if len(chosen) == before:
                break
        return Choice(np.array(chosen, np.int64))

    def _clusters(self, points: Points, num: int, key: Key[Array, ""]) -> Int[np.ndarray, " n"]:
        order = np.asarray(jax.random.permutation(key, len(points)))
        sample = points.take(np.sort(order[:_KMEANS_ROWS]))
        start = far_apart(sample, num, key)
        centres, cluster = k_means(sample, start, iterations=self.iterations)
        return cluster if len(sample) == len(points) else nearest_centres(points, centres)[0]

    def _round(
        self,
        pool: Pool,
        cluster: Int[np.ndarray, " n"],
        taken: Int[np.ndarray, " taken"],
        allowance: Allowance,
        chosen: list[int],
        target: int,
    ) -> None:
        """Adds rows to `chosen` until there are as many as the target, or no row is open."""
        num = int(cluster.max()) + 1
        sizes = np.bincount(cluster, minlength=num)
        labels = np.bincount(cluster[taken], minlength=num)
        order = np.argsort(cluster, kind="stable")
        ends = np.cumsum(sizes)
        ranked: dict[int, Int[np.ndarray, " members"]] = {}
        alive = sizes > 0
        while len(chosen) < target and alive.any():
            # Fewest labels first; then clusters that are not tiny; then the largest; then by index.
            first = np.lexsort((np.arange(num), -sizes, sizes < self.smallest, labels, ~alive))[0]
            own = int(first)
            if own not in ranked:
                members = order[ends[own] - sizes[own] : ends[own]]
                typical = self._typicality(pool.points, members)
                ranked[own] = members[np.argsort(-typical, kind="stable")]
            can = ranked[own][allowance.open[ranked[own]]]
            if not len(can):
                alive[own] = False
                continue
            allowance.take(int(can[0]))
            chosen.append(int(can[0]))
            labels[own] += 1

    def _typicality(
        self, points: Points, members: Int[np.ndarray, " members"]
    ) -> Float[np.ndarray, " members"]:
        """Minus the mean distance to the nearest other members."""
        step = -(-len(members) // _COMPARED)
        others = members[::step]
        k = min(self.neighbours, len(others) - 1)
        if k < 1:
            return np.zeros(len(members))
        found = np.empty(len(members))
        for start in range(0, len(members), _AT_ONCE):
            some = members[start : start + _AT_ONCE]
            squares = host_squared_distances(points.take(some), points.take(others))
            squares[some[:, None] == others[None]] = points.far
            nearest = np.sort(np.partition(squares, k - 1, axis=1)[:, :k], axis=1)
            found[start : start + len(some)] = np.sqrt(nearest.astype(np.float64)).sum(axis=1) / k
        return -found


def far_apart(points: Points, num: int, key: Key[Array, ""]) -> Points:
    """Centres to start k-means from: drawn by squared distance from those drawn before.

    At most 16 rows a centre are looked at.

    Source: Arthur & Vassilvitskii, k-means++: the advantages of careful seeding, 2007.
    """
    uniform = np.asarray(jax.random.uniform(key, (num,)), np.float64)
    order = np.asarray(jax.random.permutation(key, len(points)))
    rows = np.sort(order[: max(16 * num, 2048)])
    own = points.take(rows)
    near: Int[np.ndarray, " rows"] | None = None
    taken: list[int] = []
    for draw in uniform.tolist():
        total = np.cumsum(np.ones(len(rows)) if near is None else near.astype(np.float64))
        if total[-1] == 0:  # all rows are drawn
            rest = np.flatnonzero(~mask_of(np.array(taken), len(rows)))
            taken += rest[: num - len(taken)].tolist()
            break
        place = int(np.searchsorted(total, draw * total[-1], side="right"))
        taken.append(min(place, len(rows) - 1))
        distance = host_squared_distances(own.take(np.array(taken[-1:])), own)[0]
        near = distance if near is None else np.minimum(near, distance)
    return own.take(np.array(taken))
