"""Utilities: the worth of a set of rows, as a metric of the model that is fitted to them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import Bool, Float, Int
from examine_jax.valuation import compiled_worth as compiled
from examine_jax.valuation.logistic.regression import Fitter, LogisticRegression
from examine_jax.valuation.metrics import METRICS, Metric, MetricName, chance

_LEFT_OUT_AT_ONCE = 64


@runtime_checkable
class Game(Protocol):
    """The worth of sets of rows. `FunctionGame` makes a game from any function."""

    @property
    def players(self) -> int:
        """The number of rows."""
        ...

    @property
    def empty(self) -> float:
        """The worth of no row."""
        ...

    def full(self) -> float:
        """The worth of all rows."""
        ...

    def bootstrapped_full(self, resamples: int, seed: int) -> float:
        """The mean worth of all rows over bootstraps of the validation set, if there is one."""
        ...

    def leave_one_out(self, on_progress: Callable[[int], None]) -> Float[np.ndarray, " n"]:
        """[N] the worth of all rows but one; `on_progress` gets the number of finished rows."""
        ...

    def subsets(self, members: Bool[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
        """The worth of each of these sets."""
        ...

    def prefixes(
        self, permutations: Int[np.ndarray, "q n"]
    ) -> Iterator[tuple[Float[np.ndarray, "q k"], Int[np.ndarray, "q k"]]]:
        """The worth of the first 1, 2, … N rows of each order, in blocks, and the fits of each."""
        ...


@runtime_checkable
class GameMaker(Protocol):
    """Makes a `Game` from rows and labels: `Utility`, or your own. Valuers hold one."""

    def game(self, features: Any, labels: Any) -> Game: ...


@dataclasses.dataclass(frozen=True, eq=False)
class FunctionGame:
    """A game from any `function(indices) -> worth`; the indices are an ascending int array."""

    players: int
    function: Callable[[Int[np.ndarray, " k"]], float]

    @property
    def empty(self) -> float:
        return float(self.function(np.arange(0)))

    def full(self) -> float:
        return float(self.function(np.arange(self.players)))

    def bootstrapped_full(self, resamples: int, seed: int) -> float:
        return self.full()

    def leave_one_out(self, on_progress: Callable[[int], None]) -> Float[np.ndarray, " n"]:
        everyone = np.arange(self.players)
        return np.array([float(self.function(np.delete(everyone, row))) for row in everyone])

    def subsets(self, members: Bool[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
        return np.array([float(self.function(np.flatnonzero(row))) for row in members])

    def prefixes(
        self, permutations: Int[np.ndarray, "q n"]
    ) -> Iterator[tuple[Float[np.ndarray, "q k"], Int[np.ndarray, "q k"]]]:
        for size in range(1, self.players + 1):
            worth = [[float(self.function(np.sort(order[:size])))] for order in permutations]
            yield np.array(worth), np.ones((len(permutations), 1), np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Utility:
    """The worth of rows: a metric, on a validation set, of the logistic regression fitted to them.

    Attributes:
        features: [M, D] floating: the validation set.
        labels: [M] int, classes counted from 0.
        model: what is fitted.
        metric: "accuracy", "balanced_accuracy", "log_loss" (minus it) or "auroc".

    A set that lacks a class is not fitted. Its worth is that without a model (`metrics.chance`; for
    accuracy, the rate of the validation set's majority class), as in DataShapley.

    Raises:
        ValueError: features or labels of another shape, not finite, of one class only; an unknown
            metric.
    """

    features: Float[np.ndarray, "m d"]
    labels: Int[np.ndarray, " m"]
    model: LogisticRegression = dataclasses.field(default_factory=LogisticRegression)
    metric: MetricName = "accuracy"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"metric {self.metric!r} is none of {', '.join(METRICS)}")
        check_labelled(self.features, self.labels, "the validation set")
        object.__setattr__(self, "features", native(self.features))
        object.__setattr__(self, "labels", native(self.labels))

    @property
    def num_classes(self) -> int:
        return int(self.labels.max()) + 1

    def game(
        self, features: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " labels"]
    ) -> "LogisticGame":
        """The game of these rows. It does the work that all fits share.

        Raises:
            ValueError: as for the validation set; another number of columns; classes that only one
                of the two sets has.
        """
        check_labelled(features, labels, "the assessed set")
        if features.shape[1] != self.features.shape[1]:
            raise ValueError(
                f"the assessed features have {features.shape[1]} columns, the validation set's "
                f"{self.features.shape[1]}: use one encoder"
            )
        ours, theirs = set(np.unique(self.labels).tolist()), set(np.unique(labels).tolist())
        if ours != theirs:
            raise ValueError(
                f"classes {sorted(ours ^ theirs)[:8]} are only in "
                f"{'the validation' if ours - theirs else 'the assessed'} set: "
                "both sets need rows of every class"
            )
        return LogisticGame(self, Fitter.of(features, labels, self.model, self.num_classes))


def check_labelled(features: Any, labels: Any, name: str) -> None:
    """Checks features and labels of a classifier.

    Raises:
        ValueError: the features are no finite matrix, or the labels are not 0, 1, … of two or more
            classes.
    """
    if features.ndim != 2 or features.dtype.kind != "f" or 0 in features.shape:
        raise ValueError(
            f"{name}'s features are {features.dtype} of shape {features.shape}; give a floating "
            "matrix [N, D]"
        )
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{name} has {len(features)} rows and labels {labels.dtype} of shape {labels.shape}; "
            "give one integer each"
        )
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        raise ValueError(
            f"{name}'s features are not finite in rows {bad[:8].tolist()} ({len(bad)} in all): "
            "leave these rows out"
        )
    found = np.unique(labels)
    if found[0] < 0 or len(found) < 2 or found[-1] != len(found) - 1:
        raise ValueError(
            f"{name} has classes {found[:8].tolist()}; there must be two or more, counted from 0 "
            "without a gap"
        )


class LogisticGame:
    """The game that `Utility.game` makes."""

    def __init__(self, utility: Utility, fitter: Fitter):
        self.utility, self.fitter = utility, fitter
        self.metric = Metric(
            utility.metric, utility.num_classes, utility.model.objective == "liblinear"
        )
        with jax.enable_x64(True):
            self._validation = on_device(utility.features)
            self._labels = jnp.asarray(utility.labels, jnp.int32)
            self._once = jnp.ones(len(utility.labels), jnp.float64)
            # A change of the fit's unknowns is multiplied by the kernel with the rows (dual), or by
            # the features.
            features = on_device(fitter.features)
            if features.dtype != self._validation.dtype:
                features = features.astype(jnp.float64)
            self._of_change = (
                compiled.product(self._validation, features) if fitter.is_dual else self._validation
            )
            weights, intercept = fitter.coefficients(fitter.full)
            self._full_decisions = (
                compiled.exact_product(self._validation, weights[..., 0]) + intercept[:, 0]
            )
            self._full_parts = fitter.parts(fitter.full)

    @property
    def players(self) -> int:
        return len(self.fitter.labels)

    @property
    def empty(self) -> float:
        return chance(self.utility.metric, self.utility.labels, self.utility.num_classes)

    def full(self) -> float:
        with jax.enable_x64(True):
            return float(
                compiled.worth(self._full_decisions, self._labels, self._once, self.metric)
            )

    def bootstrapped_full(self, resamples: int, seed: int) -> float:
        generator = np.random.default_rng(seed)
        count = len(self.utility.labels)
        with jax.enable_x64(True):
            found = []
            for _ in range(resamples):
                weight = np.bincount(generator.integers(count, size=count), minlength=count).astype(
                    np.float64
                )
                found.append(
                    float(
                        compiled.worth(
                            self._full_decisions, self._labels, jnp.asarray(weight), self.metric
                        )
                    )
                )
        known = np.array(found)[~np.isnan(found)]  # AUROC is NaN if a resample lacks a class
        return float(known.mean()) if len(known) else self.full()

    def leave_one_out(self, on_progress: Callable[[int], None]) -> Float[np.ndarray, " n"]:
        worth = np.full(self.players, self.empty)
        order = self.fitter.by_influence()
        # The only row of a class cannot be left out.
        counts = np.bincount(self.fitter.labels)
        order = order[counts[self.fitter.labels[order]] > 1]
        size = min(_LEFT_OUT_AT_ONCE, len(order))
        with jax.enable_x64(True):
            for start in range(0, len(order), max(size, 1)):
                chosen = order[max(0, min(start, len(order) - size)) :][
                    :size
                ]  # the last chunk overlaps: one shape
                fits = self.fitter.leave_one_out(chosen)
                worth[chosen] = self._worth_near_full(self.fitter.parts(fits))
                on_progress(self.players - len(order) + min(start + size, len(order)))
        return worth

    def subsets(self, members: Bool[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
        worth = np.full(len(members), self.empty)
        onehot = np.eye(self.utility.num_classes, dtype=bool)[self.fitter.labels]
        fitted = np.flatnonzero((members[:, :, None] & onehot[None]).any(1).all(1))
        if len(fitted):
            with jax.enable_x64(True):
                fits = self.fitter.subsets(members[fitted].astype(np.float64))
                weights, intercept = self.fitter.coefficients(fits)
                worth[fitted] = compiled.worth_of_weights(
                    self._validation, weights, intercept, self._labels, self._once, self.metric
                )
        return worth

    def prefixes(
        self, permutations: Int[np.ndarray, "q n"]
    ) -> Iterator[tuple[Float[np.ndarray, "q k"], Int[np.ndarray, "q k"]]]:
        labels = self.fitter.labels[permutations]
        seen: Any = np.maximum.accumulate(
            np.eye(self.utility.num_classes, dtype=bool)[labels], axis=1
        ).all(2)  # [q, n]
        nowhere = int((~seen).all(0).sum())  # prefixes that lack a class in every order
        if nowhere:
            yield (
                np.full((len(permutations), nowhere), self.empty),
                np.zeros((len(permutations), nowhere), np.int64),
            )
        ordered, fits, done = self.fitter.order(permutations), None, nowhere
        while done < self.players:
            block = _block_size(done)
            sizes = np.minimum(np.arange(done + 1, done + block + 1), self.players)
            fits = self.fitter.prefixes(ordered, fits, sizes)
            new = min(block, self.players - done)
            worth = self._worth_of_prefixes(fits, permutations)[:, :new]
            fitted = seen[:, done : done + new]
            yield np.where(fitted, worth, self.empty), fitted.astype(np.int64)
            done += new

    def _worth_near_full(self, parts: tuple[Any, Any]) -> Any:
        change = parts[0] - self._full_parts[0]
        shift = parts[1] - self._full_parts[1]
        return np.asarray(
            compiled.worth_of_changes(
                self._of_change,
                change,
                shift,
                self._full_decisions,
                self._labels,
                self._once,
                self.metric,
            )
        )

    def _worth_of_prefixes(self, fits: Any, permutations: Any) -> Any:
        """[q, b] the worth of prefixes.

        The last prefix's decisions are computed in float64; the others by their difference from it,
        in the validation set's precision.
        """
        with jax.enable_x64(True):
            held = fits.coefficients.shape[2]
            rows = jnp.asarray(permutations[:, :held], jnp.int32) if self.fitter.is_dual else None
            features = on_device(self.fitter.features)
            dual, free = self.fitter.is_dual, self.utility.model.objective == "lbfgs"
            each = [
                (jax.tree.map(lambda x: x[q], fits), None if rows is None else rows[q])  # noqa: B023
                for q in range(len(permutations))
            ]
            # One pass over the validation set for all orders: its conversion to float64 costs more
            # than the product.
            last = [
                compiled.weights_of_last(features, one, of_order, dual, free)
                for one, of_order in each
            ]
            columns = last[0][0].shape[1]
            product = compiled.exact_product(
                self._validation, jnp.concatenate([weights for weights, _ in last], axis=1)
            )
            found = []
            for q, (one, of_order) in enumerate(each):
                decisions = product[:, q * columns : (q + 1) * columns] + last[q][1]
                found.append(
                    compiled.worth_of_prefixes(
                        len(features),
                        self._of_change,
                        one,
                        of_order,
                        decisions,
                        self._labels,
                        self._once,
                        self.metric,
                        dual,
                        free,
                    )
                )
            return np.stack([np.asarray(x) for x in found])


def _block_size(done: int) -> int:
    """How many prefixes are fitted together: their curvatures must be near that of the last."""
    return 8 if done < 56 else 16 if done < 128 else 32
