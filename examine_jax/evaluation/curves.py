"""Curves of a model's performance while rows are added or removed in the order of their values.

Rows are added to a clean set or removed from their own set. A random order is always included.

Source: EXAMINE, section 4.4 and Fig. 3, after Ghorbani & Zou, Data Shapley (2019), Fig. 1.
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
    """The worth of the set after each number of added or removed rows.

    Attributes:
        counts: [K], ascending from 0: the number of rows added or removed.
        worth: [K] float64: the worth of the set at that point.
    """

    counts: Int[np.ndarray, " k"]
    worth: Float[np.ndarray, " k"]

    @property
    def area(self) -> float:
        """The mean height of the curve, by the trapezoidal rule, in the units of the worth."""
        if len(self.counts) == 1:
            return float(self.worth[0])
        return float(np.trapezoid(self.worth, self.counts) / (self.counts[-1] - self.counts[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class CodedRows:
    """Features [N, D], floating, with their class numbers [N], counted from 0."""

    features: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class CurveSettings:
    """Settings of the curves; the paper does not give them.

    Attributes:
        step: the number of rows between two points of a curve.
        added, removed: the share of the rows at which the curves end. If all rows are removed,
            nothing is left to train on.
        random_orders: the number of random orders whose mean is the curve "random".
    """

    step: int = 10
    added: float = 1.0
    removed: float = 0.9
    random_orders: int = 10

    def __post_init__(self) -> None:
        if self.step < 1 or self.random_orders < 1:
            raise ValueError(
                f"step {self.step} and random_orders {self.random_orders} must be at least 1"
            )
        if not (0 < self.added <= 1 and 0 < self.removed <= 1):
            raise ValueError(
                f"the shares added {self.added} and removed {self.removed} must be above 0 and at "
                "most 1"
            )


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
    """The four curves of each valuer and of a random order.

    Args:
        utility: measures the worth of a set of rows on its validation set.
        assessed: the rows that were valued.
        clean: the rows that are there before any is added; every class must be among them.
        values: the values [N] by valuer, higher is better. Ties come in random order.
        settings: the steps and ends of the curves.
        seed: determines the random orders.
        on_progress: called with the number of finished curves and their total.

    Returns:
        The curves by kind and valuer; the curve of the random order is named "random".

    Raises:
        ValueError: a valuer does not give one finite value a row or is named "random", or the
            utility refuses the rows.
    """
    if RANDOM in values:
        raise ValueError(f"{RANDOM!r} is always drawn: give that valuer another name")
    orders = {name: best_first(value, len(assessed), seed, name) for name, value in values.items()}
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(len(assessed)) for _ in range(settings.random_orders)]
    joined = utility.game(
        np.concatenate([clean.features, assessed.features]),
        np.concatenate([clean.labels, assessed.labels]),
    )
    alone = utility.game(assessed.features, assessed.labels)
    start = np.arange(len(clean))

    def curve(kind: CurveKind, order: Int[np.ndarray, " n"]) -> Curve:
        taken = order if kind.endswith("best") else order[::-1]
        if kind.startswith("add"):
            counts = curve_counts(len(assessed), settings.step, settings.added)
            return adding_curve(joined, start, taken + len(clean), counts)
        return removing_curve(
            alone, taken, curve_counts(len(assessed), settings.step, settings.removed)
        )

    found: dict[CurveKind, dict[str, Curve]] = {kind: {} for kind in CURVE_KINDS}
    total, done = 2 * settings.random_orders + len(CURVE_KINDS) * len(orders), 0

    def count_curve() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, total)

    for best, worst in (CURVE_KINDS[:2], CURVE_KINDS[2:]):
        drawn = []
        for order in shuffled:  # in a random order, the first rows are no better than the last
            drawn.append(curve(best, order))
            count_curve()
        found[best][RANDOM] = found[worst][RANDOM] = mean_curve(drawn)
    for kind in CURVE_KINDS:
        for name, order in orders.items():
            found[kind][name] = curve(kind, order)
            count_curve()
    return found


def adding_curve(
    game: Game,
    start: Int[np.ndarray, " s"],
    order: Int[np.ndarray, " n"],
    counts: Int[np.ndarray, " k"],
) -> Curve:
    """The worth of the rows `start` together with the first counts[k] rows of `order`."""
    members = np.zeros((len(counts), game.players), bool)
    members[:, start] = True
    members[:, order] |= np.arange(len(order)) < counts[:, None]
    return Curve(counts, np.asarray(game.subsets(members), np.float64))


def removing_curve(
    game: Game, order: Int[np.ndarray, " n"], counts: Int[np.ndarray, " k"]
) -> Curve:
    """The worth of all rows except the first counts[k] of `order`.

    The game decides what an empty set, or one that lacks a class, is worth.
    """
    members = np.ones((len(counts), game.players), bool)
    members[:, order] = np.arange(len(order)) >= counts[:, None]
    return Curve(counts, np.asarray(game.subsets(members), np.float64))


def curve_counts(rows: int, step: int, share: float = 1.0) -> Int[np.ndarray, " k"]:
    """The counts 0, step, 2 step, …, ending at the given share of the rows."""
    end = max(1, round(rows * share))
    return np.append(np.arange(0, end, step), end)


def best_first(
    values: Float[np.ndarray, " n"], rows: int, seed: int, name: str = "the valuer"
) -> Int[np.ndarray, " n"]:
    """The rows by descending value; rows of equal value come in random order.

    Ties matter: leave-one-out gives many rows the same value.

    Raises:
        ValueError: there is not one finite value a row; the message names the valuer.
    """
    if values.shape != (rows,) or not np.isfinite(values).all():
        raise ValueError(
            f"{name} gave {int(np.isfinite(values).sum())} finite values of shape "
            f"{list(values.shape)} for {rows} rows; give one each"
        )
    chance = np.random.default_rng(seed).permutation(rows)
    return chance[np.argsort(-values[chance], kind="stable")]


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves with the same counts.

    Raises:
        ValueError: there is no curve, or their counts differ.
    """
    if not curves or any(not np.array_equal(curve.counts, curves[0].counts) for curve in curves):
        raise ValueError(
            "these curves have no common mean: give at least one, all with the same counts"
        )
    return Curve(curves[0].counts, np.mean([curve.worth for curve in curves], axis=0))
