"""When one permutation is cut short, and when enough permutations are drawn: the rules of DataShapley and of pyDVL."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np

from examine_jax.common.shapes import Float


@runtime_checkable
class Truncation(Protocol):
    """Says after how many rows a permutation is cut; later marginals are zero."""

    @property
    def resamples(self) -> int: ...

    def cut(self, worths: Float[np.ndarray, " k"], full: float, players: int) -> int | None: ...


@runtime_checkable
class Stopping(Protocol):
    """Says whether contributions [permutations, N] are enough."""

    def enough(self, contributions: Float[np.ndarray, "s n"]) -> bool: ...


@dataclasses.dataclass(frozen=True)
class DataShapleyTruncation:
    """Cut at the `hits`-th prefix in a row whose worth is within tolerance * |full| of the full worth.

    Attributes:
        tolerance: relative.
        hits: in a row.
        resamples: the full worth is the mean over this many bootstraps of the validation set; 0: the worth itself.

    Source: Ghorbani & Zou, Data Shapley, 2019, and their code.
    """

    tolerance: float = 0.01
    hits: int = 6
    resamples: int = 100

    def cut(self, worths: Float[np.ndarray, " k"], full: float, players: int) -> int | None:
        """The number of rows that count, or None where the permutation goes on."""
        run = 0
        for size, near in enumerate(np.abs(worths - full) <= self.tolerance * abs(full), 1):
            run = run + 1 if near else 0
            if run == self.hits:
                return size
        return None


@dataclasses.dataclass(frozen=True)
class RelativeTruncation:
    """Cut at the first prefix, of burn_in of the rows or more, that numpy.allclose finds equal to the full worth.

    Attributes:
        rtol: of the full worth (and an absolute 1e-8).
        burn_in: the fraction of the rows before which nothing is cut.

    Source: pyDVL's rule of that name.
    """

    rtol: float = 0.01
    burn_in: float = 0.0
    resamples: int = dataclasses.field(default=0, init=False)

    def cut(self, worths: Float[np.ndarray, " k"], full: float, players: int) -> int | None:
        """The number of rows that count, or None where the permutation goes on."""
        near = np.isclose(worths, full, rtol=self.rtol) & (np.arange(1, len(worths) + 1) >= self.burn_in * players)
        return int(np.argmax(near)) + 1 if near.any() else None


@dataclasses.dataclass(frozen=True)
class DataShapleyStopping:
    """Enough when the running means of the last `window` permutations all lie, in the mean over rows, within `error` of the last one,
    relative to its size; never before `window` permutations.

    Source: as `DataShapleyTruncation`.
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
    """Enough when the running means have changed by less than rtol of their size, in the mean over rows, over the last `steps`
    permutations; a mean of zero counts with its whole change. Never before `steps` + 2 permutations.

    Source: pyDVL's rule of that name; it divides by the signed mean, and so can stop early, this by its size.
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
