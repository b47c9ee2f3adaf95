"""Greedy coverage: next is the image that most raises the similarity to the nearest chosen one.

Facility location, MaxHerding and ProbCover are this with three different similarities.
"""

import dataclasses
import itertools

import jax
import numpy as np

from examine_jax.common.shapes import Array, Bool, Int
from examine_jax.selection.covered import MOST_QUERIES, Covered, Similarity
from examine_jax.selection.points import Points
from examine_jax.selection.pool import Allowance, Choice, Pool, most_of

_AGAIN = (16, 64, 256)  # candidates whose gain is computed again at a time
_ROWS_AT_ONCE = 8192


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How much of a large pool a greedy choice looks at.

    A choice among N images compares N x N pairs, which takes minutes for 32,768 images and days for
    a million. Beyond `exact_rows`, candidates are drawn from the pool, and so are the images that
    are to be covered.

    Attributes:
        exact_rows: up to so many images, all are compared with all.
        candidates: how many candidates are drawn.
        covered: how many images are drawn that are to be covered.
        candidates_a_choice: for each image to choose, at least so many candidates are drawn.
        covered_a_choice: and so many images that are to be covered.
    """

    exact_rows: int = 32_768
    candidates: int = 16_384
    covered: int = 32_768
    candidates_a_choice: int = 4
    covered_a_choice: int = 8

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"{field.name} must be at least 1, got {value}")

    def num_candidates(self, chosen: int) -> int:
        """How many candidates are drawn for so many chosen and labelled images."""
        return max(self.candidates, self.candidates_a_choice * chosen)

    def num_covered(self, chosen: int) -> int:
        """How many images that are to be covered are drawn for so many chosen and labelled ones."""
        return max(self.covered, self.covered_a_choice * chosen)


ALL_PAIRS_IF_FEW = Sampling()


def greedy_cover(
    pool: Pool,
    budget: int,
    similarity: Similarity,
    parameter: int,
    sampling: Sampling,
    key: Array,
    *,
    medoid_first: bool = False,
) -> Choice:
    """Chooses rows one by one: next is the one that adds most to the pool's coverage.

    Coverage is the sum, over the images to be covered, of the similarity to the most similar chosen
    or labelled image. Ties go by index. The lazy greedy algorithm gives the same choice as the
    plain one: a row's gain only falls as others are chosen, so its old gain is an upper bound.

    Args:
        pool: of images.
        budget: how many to choose.
        similarity: a function of (squared distances, parameter): int32 from 0 on.
        parameter: of the similarity, such as a radius.
        sampling: how much of a large pool is looked at.
        key: of the samples.
        medoid_first: as in `cover`.

    Returns:
        The rows, fewer than the budget if no other row covers anything more. If the pool was
        sampled, the facts hold the sample sizes and `coverage_error_bound`: with a probability of
        95%, the mean similarity of a set of images over the sample differs from that over the whole
        pool by at most this share of the similarity's range.

    Source: Minoux, Accelerated greedy algorithms for maximizing submodular set functions, 1978;
        sampled candidates: Mirzasoleiman et al., Lazier than lazy greedy, arXiv:1409.7938;
        the bound: Hoeffding 1963.
    """
    if len(pool) <= sampling.exact_rows:
        rows = cover(
            pool,
            budget,
            similarity,
            parameter,
            np.flatnonzero(pool.open),
            np.arange(len(pool)),
            medoid_first,
        )
        return Choice(rows, {"candidates": float(pool.open.sum()), "covered": float(len(pool))})
    # Of all rows, not of the open ones: a second round draws the same sample as one long round.
    order = np.asarray(jax.random.permutation(key, len(pool)))
    size = sampling.num_candidates(budget + len(pool.labelled))
    while True:
        drawn = np.sort(order[:size])
        candidates = drawn[pool.open[drawn]]
        if most_of(pool.groups[candidates], pool.left) >= budget or size >= len(pool):
            break
        size *= 2
    covered = np.sort(order[::-1][: sampling.num_covered(budget + len(pool.labelled))])
    rows = cover(pool, budget, similarity, parameter, candidates, covered, medoid_first)
    return Choice(
        rows,
        {
            "candidates": float(len(candidates)),
            "covered": float(len(covered)),
            "coverage_error_bound": float(np.sqrt(np.log(2 / 0.05) / (2 * len(covered)))),
        },
    )


def cover(
    pool: Pool,
    budget: int,
    similarity: Similarity,
    parameter: int,
    candidates: Int[np.ndarray, " candidates"],
    covered: Int[np.ndarray, " covered"],
    medoid_first: bool = False,
) -> Int[np.ndarray, " chosen"]:
    """The greedy choice among some rows of the pool that covers some of its rows.

    Args:
        pool: of images.
        budget: how many to choose.
        similarity, parameter: as in `greedy_cover`.
        candidates: the rows that may be chosen, ascending.
        covered: the rows that are to be covered.
        medoid_first: the first choice is known to be the medoid, if nothing is labelled.

    Returns:
        The chosen rows of the pool, in order.
    """
    own = pool.points.take(candidates)
    state = Covered(pool.points.take(covered), own, similarity, parameter)
    for start in range(0, len(pool.labelled), MOST_QUERIES):
        state.add_all(pool.points.take(pool.labelled[start : start + MOST_QUERIES]))
    allowance = Allowance(pool)
    place_of = np.full(len(pool), -1, np.int64)
    place_of[candidates] = np.arange(len(candidates))
    bounds = np.full(len(candidates), -1, np.int64)
    can = allowance.open[candidates]
    chosen: list[int] = []

    def take(place: int) -> None:
        row = int(candidates[place])
        chosen.append(row)
        closed = place_of[allowance.take(row)]
        closed = closed[closed >= 0]
        bounds[closed], can[closed] = -1, False
        state.add(place)

    if medoid_first and can.any() and not len(pool.labelled):
        take(_medoid(own, can, pool.points.take(covered)))
    known = np.full(len(candidates), state.step)
    to_do = np.flatnonzero(can)
    total = len(to_do) + budget * MOST_QUERIES
    # The first pass is most of the work: it counts as choices that are under way.
    bounds[to_do] = state.first_gains(
        to_do, lambda done: pool.on_progress(done * budget // total, budget)
    )
    while len(chosen) < min(budget, len(candidates)):
        best = _best(state, bounds, known)
        if bounds[best] <= 0:
            break
        take(best)
        pool.on_progress((len(to_do) + len(chosen) * MOST_QUERIES) * budget // total, budget)
    return np.array(chosen, np.int64)


def _medoid(candidates: Points, can: Bool[np.ndarray, " candidates"], covered: Points) -> int:
    """The candidate whose squared distances to the covered points have the least sum."""
    total = covered.rows.sum(axis=0, dtype=np.int64)
    sums = np.empty(len(candidates), np.int64)
    for start in range(0, len(candidates), _ROWS_AT_ONCE):
        rows = candidates.rows[start : start + _ROWS_AT_ONCE].astype(np.int64)
        sums[start : start + len(rows)] = np.einsum("nd,d->n", rows, total)
    # Less what is the same for all candidates: the covered points' own squares.
    cost = len(covered) * candidates.squares.astype(np.int64) - 2 * sums
    return int(np.argmin(np.where(can, cost, np.iinfo(np.int64).max)))


def _best(
    state: Covered,
    bounds: Int[np.ndarray, " candidates"],
    known: Int[np.ndarray, " candidates"],
) -> int:
    """The candidate with the greatest gain, the first of equals. Lowers `bounds` on the way.

    `known` says at which step each bound was the gain.
    """
    for size in itertools.chain(_AGAIN, itertools.repeat(_AGAIN[-1])):
        best = int(np.argmax(bounds))
        if known[best] == state.step or bounds[best] <= 0:
            return best
        # Those that must not be chosen, and those that add nothing any more, are never looked at.
        least = max(_kth_largest(bounds, size), 1)
        stale = np.flatnonzero((known < state.step) & (bounds >= least))
        some = stale[np.argsort(-bounds[stale], kind="stable")[:size]]
        bounds[some] = state.renewed(some, bounds[some], known[some])
        known[some] = state.step
    raise AssertionError("the loop ends by itself")


def _kth_largest(values: Int[np.ndarray, " n"], k: int) -> int:
    """0 if it is below 0: such rows may not be chosen, and are never looked at again."""
    return max(0, int(np.partition(values, -k)[-k])) if k < len(values) else 0
