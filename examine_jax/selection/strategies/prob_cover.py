"""ProbCover: balls of one radius around the chosen images."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Int, Key
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.selection.coverage import ALL_PAIRS_IF_FEW, Sampling, greedy_cover
from examine_jax.selection.distances import host_squared_distances
from examine_jax.selection.k_means import k_means
from examine_jax.selection.pool import Choice, Pool

_RADIUS_ROWS = 8192  # at most so many rows decide the radius
_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class ProbCover:
    """Next is the image with the most uncovered images within a radius.

    Once all are covered, the radius halves, and the choice goes on: covered is then what is nearer.

    Attributes:
        preprocessing: of the features; see `points_of`.
        radius: in units of the preprocessed features. None: the largest at which a share `purity`
            of the balls hold images of one k-means cluster only, as in the paper.
        clusters: of that k-means. The paper has the number of classes, which is unknown here.
        purity: of the paper's rule.
        sampling: how much of a large pool is looked at.

    Source: Yehuda et al., Active learning through a covering lens, arXiv:2205.11320.
    """

    preprocessing: Preprocessing = "l2"
    radius: float | None = None
    clusters: int = 10
    purity: float = 0.95
    sampling: Sampling = ALL_PAIRS_IF_FEW

    def __post_init__(self) -> None:
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"radius must be positive, got {self.radius}")
        if self.clusters < 1 or not 0 < self.purity <= 1:
            raise ValueError("clusters must be at least 1, and purity above 0 and at most 1")

    def choose(self, pool: Pool, budget: int, key: Key[Array, ""]) -> Choice:
        """The greedy choice, in order: the first k rows are the greedy choice of k."""
        unit = pool.points.unit
        if self.radius is None:
            square = self._pure_square(pool, key)
        else:
            square = int(np.clip(math.floor((self.radius / unit) ** 2), 0, pool.points.far))
        facts = {"radius": math.sqrt(square) * unit}
        chosen = np.empty(0, np.int64)
        while True:
            found = greedy_cover(
                pool.after(chosen), budget - len(chosen), within, square, self.sampling, key
            )
            chosen = np.concatenate([chosen, found.rows])
            if len(chosen) == budget or square == 0:
                return Choice(chosen, found.facts | facts)
            square //= 4

    def _pure_square(self, pool: Pool, key: Key[Array, ""]) -> int:
        """The squared radius of the paper's rule, on a sample of a large pool."""
        order = np.asarray(jax.random.permutation(key, len(pool)))
        sample = pool.points.take(np.sort(order[:_RADIUS_ROWS]))
        start = sample.take(np.asarray(jax.random.permutation(key, len(sample)))[: self.clusters])
        _, cluster = k_means(sample, start, iterations=50)
        # A ball is pure up to the nearest row of another cluster.
        nearest_other = np.empty(len(sample), np.int64)
        for first in range(0, len(sample), _AT_ONCE):
            some = np.arange(first, min(first + _AT_ONCE, len(sample)))
            distance = host_squared_distances(sample.take(some), sample)
            same = cluster[some][:, None] == cluster[None]
            nearest_other[some] = np.where(same, sample.far, distance).min(axis=1)
        if (nearest_other == sample.far).all():  # one cluster: every ball is pure
            return int(np.median(sample.squares))
        place = max(math.ceil((1 - self.purity) * len(sample)) - 1, 0)
        return max(int(np.sort(nearest_other)[place]) - 1, 0)


def within(distance: Int[Array, "q n"], square: Int[Array, ""]) -> Int[Array, "q n"]:
    """1 within the radius, else 0."""
    return (distance <= square).astype(jnp.int32)
