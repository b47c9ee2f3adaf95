"""When to cut a permutation and when there are enough: the rules of DataShapley and pyDVL."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np

from examine_jax.common.shapes import Float


@runtime_checkable
class Truncation(Protocol):
    """Decides after how many rows a permutation is cut; later marginals are zero."""

    @property
    def resamples(self) -> int: ...

    def cut(self, worths: Float[np.ndarray, " k"], full: float, players: int) -> int | None: ...


@runtime_checkable
class Stopping(Protocol):
    """Decides whether contributions [permutations, N] are enough."""

    def enough(self, contributions: Float[np.ndarray, "s n"]) -> bool: ...


@dataclasses.dataclass(frozen=True)
class DataShapleyTruncation:
    """Cuts a permutation after `hits` consecutive prefixes that are near the full worth.

    Near: the difference is at most tolerance * |full|.

    Attributes:
        tolerance: relative.
        hits: consecutive prefixes.
        resamples: bootstraps of the validation set over which the full worth is averaged; 0: none.

    Source: Ghorbani & Zou, Data Shapley, 2019, and their code.
    """

    tolerance: float = 0.01
    hits: int = 6
    resamples: int = 100

    def cut(self, worths: Float[np.ndarray, " k"], full: float, players: int) -> int | None:
        """The number of rows that count, or None if the permutation continues."""
        run = 0
        for size, near in enumerate(np.abs(worths - full) <= self.tolerance * abs(full), 1):
            run = run + 1 if near else 0
            if run == self.hits:
                return size
        return None


@dataclasses.dataclass(frozen=True)
class RelativeTruncation:
    """Cuts a permutation at the first prefix after the burn-in that is near the full worth.

    Near: numpy.isclose finds them equal.

    Attributes:
        rtol: of the full worth (and an absolute 1e-8).
        burn_in: the fraction of the rows before which no permutation is cut.

    Source: pyDVL's rule of that name.
    """

    rtol: float = 0.01
    burn_in: float = 0.0
    resamples: int = dataclasses.field(default=0, init=False)

    def cut(self, worths: Float[np.ndarray, " k"], full: float, players: int) -> int | None:
        """The number of rows that count, or None if the permutation continues."""
        near = np.isclose(worths, full, rtol=self.rtol) & (
            np.arange(1, len(worths) + 1) >= self.burn_in * players
        )
        return int(np.argmax(near)) + 1 if near.any() else None


@dataclasses.dataclass(frozen=True)
class DataShapleyStopping:
    """Enough when all running means of the last `window` permutations are near the last one.

    Near: the relative difference, averaged over rows, is below `error`. There are at least `window`
        permutations.

    Source: as in `DataShapleyTruncation`.
    """

    error: float = 0.05
    window: int = 100

    def enough(self, contributions: Float[np.ndarray, "s n"]) -> bool:
        if len(contributions) < self.window:
            return False
        means = _running_means(contributions)[-self.window :]
        last = means[-1]
        return bool((np.abs(means - last) / (np.abs(last) + 1e-12)).mean(1).max() < self.error)


@dataclasses.dataclass(frozen=True)
class HistoryDeviation:
    """Enough when the running means change by less than rtol over the last `steps` permutations.

    The change is relative to the mean's size and averaged over rows; for a mean of zero it is
    absolute. There are at least `steps` + 2 permutations.

    Source: pyDVL's rule of that name. It divides by the signed mean, and so can stop too early;
        this rule divides by its size.
    """

    steps: int = 100
    rtol: float = 0.01

    def enough(self, contributions: Float[np.ndarray, "s n"]) -> bool:
        if len(contributions) < self.steps + 2:
            return False
        means = _running_means(contributions)
        size, change = np.abs(means[-1]), np.abs(means[-1] - means[-1 - self.steps])
        return bool(np.mean(change / np.where(size > 0, size, 1.0)) < self.rtol)


def _running_means(contributions: Float[np.ndarray, "s n"]) -> Float[np.ndarray, "s n"]:
    return np.cumsum(contributions, axis=0) / np.arange(1, len(contributions) + 1)[:, None]
