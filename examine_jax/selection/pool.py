"""What a strategy is given: the images to choose from, and how many of each group it may take."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from examine_jax.common.shapes import Array, Bool, Int, Key, Num
from examine_jax.features.preprocessing import Preprocessing
from examine_jax.selection.points import Points

_ROWS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """Different usable images, of which some are labelled. Row numbers count within the pool.

    Images with equal features are one row.

    Attributes:
        points: their features as points, N rows.
        labelled: rows that are labelled already, ascending. They are not chosen, but count as
            chosen earlier.
        open: [N] True for the rows that may be chosen.
        groups: [N] the group of each row, counted from 0.
        left: how many rows of each group may still be chosen.
        features: all images' features [M, D], as they were given.
        rows: [N] the pool's rows of these features.
        on_progress: is told (images chosen, budget) now and then.
    """

    points: Points
    labelled: Int[np.ndarray, " labelled"]
    open: Bool[np.ndarray, " n"]
    groups: Int[np.ndarray, " n"]
    left: Int[np.ndarray, " groups"]
    features: Num[np.ndarray, "m d"]
    rows: Int[np.ndarray, " n"]
    on_progress: Callable[[int, int], None] = lambda done, total: None

    def __len__(self) -> int:
        return len(self.points)

    def most(self) -> int:
        """The greatest budget that the groups allow."""
        return most_of(self.groups[self.open], self.left)

    def feature_blocks(self) -> Iterator[Num[np.ndarray, "block d"]]:
        """The pool's features as they were given, in order, in blocks of rows."""
        for start in range(0, len(self.rows), _ROWS_AT_ONCE):
            yield np.asarray(self.features[self.rows[start : start + _ROWS_AT_ONCE]])

    def after(self, chosen: Int[np.ndarray, " chosen"]) -> "Pool":
        """The pool in which these rows are labelled too."""
        allowance = Allowance(self)
        for row in chosen:
            allowance.take(int(row))
        return dataclasses.replace(
            self,
            labelled=np.union1d(self.labelled, chosen),
            open=allowance.open,
            left=allowance.left,
        )

    def part(self, rows: Int[np.ndarray, " some"]) -> "Pool":
        """The pool of these rows alone, ascending; labelled rows must be among them."""
        return dataclasses.replace(
            self,
            points=self.points.take(rows),
            labelled=np.searchsorted(rows, self.labelled),
            open=self.open[rows],
            groups=self.groups[rows],
            rows=self.rows[rows],
        )


class Allowance:
    """Which rows may still be chosen while a strategy chooses one after another.

    Attributes:
        open: [N] True for the rows that may be chosen now.
        left: how many rows of each group may still be chosen.
    """

    def __init__(self, pool: Pool):
        self.open, self.left = pool.open.copy(), pool.left.copy()
        self._groups = pool.groups
        self._by_group = np.argsort(pool.groups, kind="stable")
        self._ends = np.cumsum(np.bincount(pool.groups, minlength=len(pool.left)))
        self.open &= self.left[pool.groups] > 0

    def take(self, row: int) -> Int[np.ndarray, " closed"]:
        """Chooses an open row. Returns the rows that may no longer be chosen: it, or its group."""
        group = self._groups[row]
        self.left[group] -= 1
        closed = np.array([row])
        if self.left[group] <= 0:
            first = self._ends[group - 1] if group else 0
            closed = self._by_group[first : self._ends[group]]
        self.open[closed] = False
        return closed


def most_of(groups: Int[np.ndarray, " some"], left: Int[np.ndarray, " groups"]) -> int:
    """How many of these rows may be chosen together."""
    return int(np.minimum(np.bincount(groups, minlength=len(left)), left).sum())


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """What a strategy chooses.

    Attributes:
        rows: the pool's rows, in the order in which they were chosen.
        facts: what the strategy says of its work (sample sizes, a radius, an error), by name.
    """

    rows: Int[np.ndarray, " chosen"]
    facts: dict[str, float] = dataclasses.field(default_factory=dict)


@runtime_checkable
class Strategy(Protocol):
    """How images are chosen: a frozen dataclass that holds its settings.

    `preprocessing` says of which features distances are taken. `choose` gives open rows of the
    pool, none twice, no more of a group than are left, and as many as the budget, which the pool
    allows. It may give fewer; the rest is then chosen farthest first.
    """

    @property
    def preprocessing(self) -> Preprocessing: ...

    def choose(self, pool: Pool, budget: int, key: Key[Array, ""]) -> Choice: ...
