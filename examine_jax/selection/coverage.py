"""Greedy coverage: next is the image that most raises the similarity to the nearest chosen one.

Facility location, MaxHerding and ProbCover are this with three different similarities.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array, Int
from examine_jax.selection.distances import Blocks, padded, squared_distances, wide_types
from examine_jax.selection.points import Points
from examine_jax.selection.pool import Allowance, Choice, Pool, most_of

# A similarity is a whole number from 0 on, made of an exact squared distance and a parameter.
Similarity = Callable[[Array, Array], Array]

_FIRST = 256  # candidates whose first gain is computed at a time
_AGAIN = (16, 64, 256)  # candidates whose gain is computed again at a time


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How much of a large pool a greedy choice looks at.

    A choice among N images compares N x N pairs, which takes minutes for 65,536 images and days for
    a million. Beyond `exact_rows`, candidates are drawn from the pool, and so are the images that
    are to be covered.

    Attributes:
        exact_rows: up to so many images, all are compared with all.
        candidates: how many candidates are drawn; at least 4 a choice are.
        covered: how many images are drawn that are to be covered; at least 8 a choice are.
    """

    exact_rows: int = 65_536
    candidates: int = 65_536
    covered: int = 131_072

    def __post_init__(self) -> None:
        if min(self.exact_rows, self.candidates, self.covered) < 1:
            raise ValueError("exact_rows, candidates and covered must be at least 1")


ALL_PAIRS_IF_FEW = Sampling()


def greedy_cover(
    pool: Pool,
    budget: int,
    similarity: Similarity,
    parameter: int,
    sampling: Sampling,
    key: Array,
) -> Choice:
    """Chooses rows one by one: next is the one that adds most to the pool's coverage.

    Coverage is the sum, over the images to be covered, of the similarity to the most similar chosen
    or labelled image. Ties go by index. The lazy greedy algorithm gives the same choice as the
    plain one: a row's gain only falls as others are chosen, so its old gain is an upper bound.

    Args:
        pool: of images.
        budget: how many to choose.
        similarity: a function of (squared distances, parameter): whole numbers from 0 on,
            no greater than `Points.far`.
        parameter: of the similarity, such as a radius.
        sampling: how much of a large pool is looked at.
        key: of the samples.

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
            pool, budget, similarity, parameter, np.flatnonzero(pool.open), np.arange(len(pool))
        )
        return Choice(rows, {"candidates": float(pool.open.sum()), "covered": float(len(pool))})
    # Of all rows, not of the open ones: a second round draws the same sample as one long round.
    order = np.asarray(jax.random.permutation(key, len(pool)))
    size = max(sampling.candidates, 4 * (budget + len(pool.labelled)))
    while True:
        drawn = np.sort(order[:size])
        candidates = drawn[pool.open[drawn]]
        if most_of(pool.groups[candidates], pool.left) >= budget or size >= len(pool):
            break
        size *= 2
    num_covered = max(sampling.covered, 8 * (budget + len(pool.labelled)))
    covered = np.sort(order[::-1][:num_covered])
    rows = cover(pool, budget, similarity, parameter, candidates, covered)
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
) -> Int[np.ndarray, " chosen"]:
    """The greedy choice among some rows of the pool that covers some of its rows.

    Args:
        pool: of images.
        budget: how many to choose.
        similarity, parameter: as in `greedy_cover`.
        candidates: the rows that may be chosen, ascending.
        covered: the rows that are to be covered.

    Returns:
        The chosen rows of the pool, in order.
    """
    state = _Covered(pool.points.take(covered), similarity, parameter)
    for start in range(0, len(pool.labelled), _FIRST):
        state.add(pool.points.take(pool.labelled[start : start + _FIRST]))
    allowance = Allowance(pool)
    own = pool.points.take(candidates)
    bounds = np.full(len(candidates), -1, np.int64)
    can = np.flatnonzero(allowance.open[candidates])
    total = len(can) + budget * _FIRST
    for start in range(0, len(can), _FIRST):
        some = can[start : start + _FIRST]
        bounds[some] = state.gains(own.take(some), _FIRST)
        # The first pass is most of the work: it counts as choices that are under way.
        pool.on_progress(start * budget // total, budget)
    place_of = np.full(len(pool), -1, np.int64)
    place_of[candidates] = np.arange(len(candidates))
    known = np.zeros(len(candidates), np.int64)
    known[can] = 0
    chosen: list[int] = []
    while len(chosen) < min(budget, len(candidates)):
        best = _best(state, own, bounds, known, len(chosen))
        if bounds[best] <= 0:
            break
        row = int(candidates[best])
        chosen.append(row)
        places = place_of[allowance.take(row)]
        bounds[places[places >= 0]] = -1
        state.add(own.take(np.array([best])))
        pool.on_progress((len(can) + len(chosen) * _FIRST) * budget // total, budget)
    return np.array(chosen, np.int64)


def _best(
    state: "_Covered",
    own: Points,
    bounds: Int[np.ndarray, " candidates"],
    known: Int[np.ndarray, " candidates"],
    step: int,
) -> int:
    """The candidate with the greatest gain, the first of equals. Lowers `bounds` on the way.

    `known` says at which step each bound was the gain.
    """
    for size in (*_AGAIN, *(_AGAIN[-1] for _ in range(len(bounds)))):
        best = int(np.argmax(bounds))
        if known[best] == step or bounds[best] <= 0:
            return best
        stale = np.flatnonzero((known < step) & (bounds >= _kth_largest(bounds, size)))
        some = stale[np.argsort(-bounds[stale], kind="stable")[:size]]
        bounds[some] = state.gains(own.take(some), size)
        known[some] = step
    return int(np.argmax(bounds))


def _kth_largest(values: Int[np.ndarray, " n"], k: int) -> int:
    return int(np.partition(values, -k)[-k]) if k < len(values) else 0


class _Covered:
    """The rows that are to be covered, and their similarity to the most similar chosen row."""

    def __init__(self, points: Points, similarity: Similarity, parameter: int):
        self._blocks = Blocks.of(points)
        self._similarity, self._parameter = similarity, points.squares.dtype.type(parameter)
        # Nothing raises the similarity of the rows that only fill a block.
        self._best = self._blocks.filled(0, int(np.iinfo(points.squares.dtype).max))

    def gains(self, queries: Points, size: int) -> Int[np.ndarray, " q"]:
        """What each of at most `size` points would add to the coverage."""
        rows = np.zeros((size, queries.rows.shape[1]), queries.rows.dtype)
        rows[: len(queries)] = queries.rows
        with wide_types():
            found = _gains(
                self._blocks.rows,
                self._blocks.squares,
                self._best,
                rows,
                padded(queries.squares, size, 0),
                self._parameter,
                similarity=self._similarity,
            )
            return np.asarray(found)[: len(queries)]

    def add(self, queries: Points) -> None:
        """These points are chosen."""
        size = 1 if len(queries) == 1 else _FIRST
        # Repeating a point changes nothing.
        places = np.minimum(np.arange(size), len(queries) - 1)
        own = queries.take(places)
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
