"""What choosing data by their values is worth: rows added to a clean set or removed from their own, in the order of the values.

EXAMINE, section 4.4 and Fig. 3, after Ghorbani & Zou, Data Shapley (2019), Fig. 1. A random order is always drawn beside the others.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.utility import Game, GameMaker

CurveKind = Literal["add_best", "add_worst", "remove_best", "remove_worst"]
CURVE_KINDS: tuple[CurveKind, ...] = ("add_best", "add_worst", "remove_best", "remove_worst")
RANDOM = "random"


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """The worth of what is left or gathered after so many rows.

    Attributes:
      counts: [K] ascending from 0: rows added or removed.
      worth: [K] float64, of the rows at hand then.
    """

    counts: Int[np.ndarray, " k"]
    worth: Float[np.ndarray, " k"]

    @property
    def area(self) -> float:
        """The mean height under straight lines between the points; in the units of the worth."""
        if len(self.counts) == 1:
            return float(self.worth[0])
        return float(np.trapezoid(self.worth, self.counts) / (self.counts[-1] - self.counts[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class CodedRows:
    """Features [N, D], floating, and their labels [N], counted from 0."""

    features: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class CurveSettings:
    """What the paper leaves open about its Fig. 3.

    Attributes:
      step: rows between two points of a curve.
      added, removed: the share of the rows at which the curves end. Nothing is left of the rows where all are removed.
      random_orders: whose mean is the curve "random".
    """

    step: int = 10
    added: float = 1.0
    removed: float = 0.9
    random_orders: int = 10

    def __post_init__(self) -> None:
        if self.step < 1 or self.random_orders < 1:
            raise ValueError(f"step {self.step} and random_orders {self.random_orders} must be at least 1")
        if not (0 < self.added <= 1 and 0 < self.removed <= 1):
            raise ValueError(f"the shares added {self.added} and removed {self.removed} must be above 0 and at most 1")


def valuation_curves(
    utility: GameMaker,
    assessed: CodedRows,
    clean: CodedRows,
    values: Mapping[str, Float[np.ndarray, " n"]],
    settings: CurveSettings = CurveSettings(),
    *,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[CurveKind, dict[str, Curve]]:
    """The four curves of every valuer, and of "random".

    Args:
      utility: on whose validation set all is measured.
      assessed: the rows that were valued.
      clean: to which rows are added; it needs every class.
      values: [N] a valuer, higher is better; equal values are taken in an order of chance.
      settings: steps and ends.
      seed: of the random orders.
      on_progress: told how many curves are done, of how many.

    Raises:
      ValueError: values that are not one finite number a row; a valuer of the name "random"; rows that the utility refuses.
    """
    if RANDOM in values:
        raise ValueError(f"{RANDOM!r} is always drawn: give that valuer another name")
    orders = {name: best_first(value, len(assessed), seed, name) for name, value in values.items()}
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(len(assessed)) for _ in range(settings.random_orders)]
    joined = utility.game(
        np.concatenate([clean.features, assessed.features]), np.concatenate([clean.labels, assessed.labels])
    )
    alone = utility.game(assessed.features, assessed.labels)
    start = np.arange(len(clean))

    def curve(choosing: CurveKind, order: Int[np.ndarray, " n"]) -> Curve:
        taken = order if choosing.endswith("best") else order[::-1]
        if choosing.startswith("add"):
            counts = steps(len(assessed), settings.step, settings.added)
            return adding_curve(joined, start, taken + len(clean), counts)
        return removing_curve(alone, taken, steps(len(assessed), settings.step, settings.removed))

    found: dict[CurveKind, dict[str, Curve]] = {choosing: {} for choosing in CURVE_KINDS}
    total, done = 2 * settings.random_orders + len(CURVE_KINDS) * len(orders), 0

    def tell() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, total)

    for best, worst in (CURVE_KINDS[:2], CURVE_KINDS[2:]):
        drawn = []
        for order in shuffled:  # the best of a random order are no better than its worst
            drawn.append(curve(best, order))
            tell()
        found[best][RANDOM] = found[worst][RANDOM] = mean_curve(drawn)
    for choosing in CURVE_KINDS:
        for name, order in orders.items():
            found[choosing][name] = curve(choosing, order)
            tell()
    return found


def adding_curve(
    game: Game, start: Int[np.ndarray, " s"], order: Int[np.ndarray, " n"], counts: Int[np.ndarray, " k"]
) -> Curve:
    """The worth of `start` with the first counts[k] rows of `order`."""
    members = np.zeros((len(counts), game.players), bool)
    members[:, start] = True
    members[:, order] |= np.arange(len(order)) < counts[:, None]
    return Curve(counts, np.asarray(game.subsets(members), np.float64))


def removing_curve(game: Game, order: Int[np.ndarray, " n"], counts: Int[np.ndarray, " k"]) -> Curve:
    """The worth of all rows but the first counts[k] of `order`; of no row where none or a class is left out altogether."""
    members = np.ones((len(counts), game.players), bool)
    members[:, order] = np.arange(len(order)) >= counts[:, None]
    return Curve(counts, np.asarray(game.subsets(members), np.float64))


def steps(rows: int, step: int, share: float = 1.0) -> Int[np.ndarray, " k"]:
    """0, step, 2 step, … and, as the last, the share of the rows."""
    end = max(1, round(rows * share))
    return np.append(np.arange(0, end, step), end)


def best_first(
    values: Float[np.ndarray, " n"], rows: int, seed: int, name: str = "the valuer"
) -> Int[np.ndarray, " n"]:
    """The rows by falling value, equal ones in an order of chance: leave-one-out gives many rows the same value.

    Raises:
      ValueError: not one finite value a row.
    """
    if values.shape != (rows,) or not np.isfinite(values).all():
        raise ValueError(
            f"{name} gave {int(np.isfinite(values).sum())} finite values of shape {list(values.shape)} for {rows} rows; give one each"
        )
    chance = np.random.default_rng(seed).permutation(rows)
    return chance[np.argsort(-values[chance], kind="stable")]


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves with the same counts.

    Raises:
      ValueError: there is none, or the counts differ.
    """
    if not curves or any(not np.array_equal(curve.counts, curves[0].counts) for curve in curves):
        raise ValueError("these curves have no common mean: give at least one, all with the same counts")
    return Curve(curves[0].counts, np.mean([curve.worth for curve in curves], axis=0))
