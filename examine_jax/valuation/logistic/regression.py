"""Logistic regression as scikit-learn defines it, solved to the optimum, for many fits at once."""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.logistic import dual_newton as dual
from examine_jax.valuation.logistic import loss as logistic
from examine_jax.valuation.logistic import primal_newton as primal
from examine_jax.valuation.logistic.blas_threads import one_blas_thread

OBJECTIVES = ("liblinear", "lbfgs")


@dataclasses.dataclass(frozen=True)
class LogisticRegression:
    """Logistic regression: the minimum over w, b of |w|^2 / 2 + C * sum_i loss_i.

    One of scikit-learn's two solvers defines the details.

    Attributes:
        objective: "liblinear" (DataShapley's choice): the intercept is penalised like a weight;
            several classes one against the rest. "lbfgs" (scikit-learn's default): the intercept is
            free; several classes by one softmax.
        C: the inverse strength of the penalty.
        tolerance: a fit is done when the gradient's norm is below tolerance * (1 + C * sqrt(rows)),
            or below its rounding error. The weights are then off by less than that, because no
            eigenvalue of the objective's curvature is below 1 (with a free intercept: nearly so).
    """

    objective: Literal["liblinear", "lbfgs"] = setting(
        "liblinear",
        "Of the logistic regression, as scikit-learn's solvers define it.",
        metavar="NAME",
    )
    C: float = setting(1.0, "Inverse strength of the logistic regression's penalty.")
    tolerance: float = 1e-7

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective {self.objective!r} is none of {', '.join(OBJECTIVES)}")
        if not 0 < self.C < float("inf"):
            raise ValueError(f"C must be positive and finite, got {self.C!r}")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be between 0 and 1, got {self.tolerance!r}")

    def columns(self, num_classes: int) -> tuple[int, int]:
        """(problems, columns per problem).

        Two classes have one column. Otherwise each class has a column, in a problem of its own if
        it is fitted against the rest.
        """
        if num_classes == 2:
            return 1, 1
        return (num_classes, 1) if self.objective == "liblinear" else (1, num_classes)


class Coefficients(NamedTuple):
    """Weights in scikit-learn's shapes, float64; one row where there are two classes."""

    weights: Float[np.ndarray, "columns features"]
    intercept: Float[np.ndarray, " columns"]


def fit_logistic(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    model: LogisticRegression = LogisticRegression(),
    *,
    num_classes: int | None = None,
) -> Coefficients:
    """One fit to all rows.

    Args:
        features: [N, D] floating, finite.
        labels: [N] int, counted from 0.
        model: the objective.
        num_classes: None: as many as the labels have.

    Raises:
        ValueError: a class has no row; no finite matrix; another number of labels.
    """
    fitter = Fitter.of(features, labels, model, num_classes)
    weights, intercept = fitter.coefficients(fitter.full)
    return Coefficients(np.asarray(weights)[..., 0].T, np.asarray(intercept)[:, 0])


class Fits(NamedTuple):
    """Fits of all problems, in coordinates of the rows (dual) or the features (primal).

    The leading axis counts the problems.
    """

    coefficients: Any  # [p, n, c, b] dual or [p, r, c, b] primal
    intercept: Any  # [p, c, b]; unused in the primal form
    residual: Any  # [p, b]


@dataclasses.dataclass(frozen=True, eq=False)
class Fitter:
    """The rows of all fits, and the work that the fits share.

    It is dual if there are no more rows than features, else primal.

    Attributes:
        system: [n, n] the rows' Gram matrix (with 1 added where the intercept is penalised), or [n,
            r] the rows and a column of ones.
        targets: [p, n, c] float64.
    """

    model: LogisticRegression
    features: Any
    labels: Int[np.ndarray, " n"]
    num_classes: int
    is_dual: bool
    system: Any
    targets: Any
    full: Fits

    @classmethod
    def of(
        cls, features: Any, labels: Any, model: LogisticRegression, num_classes: int | None = None
    ) -> "Fitter":
        """Does the shared work, with the fit to all rows.

        Arguments and errors: as `fit_logistic`.
        """
        features, labels = native(np.asarray(features)), np.asarray(labels)
        classes = int(labels.max()) + 1 if num_classes is None else num_classes
        if len(np.unique(labels)) < max(classes, 2):
            raise ValueError(
                f"logistic regression needs rows of all {max(classes, 2)} classes; there are rows "
                f"of {len(np.unique(labels))}"
            )
        count, width = features.shape
        problems, columns = model.columns(classes)
        onehot = np.eye(classes)[labels]
        targets = (
            onehot[:, 1:].T[..., None]
            if classes == 2
            else onehot.T[..., None]
            if columns == 1
            else onehot[None]
        )
        is_dual = count <= width
        with jax.enable_x64(True), one_blas_thread():
            system = _system_jit(jnp.asarray(features), is_dual, model.objective == "liblinear")
            wanted = jnp.asarray(targets, jnp.float64)
            unknowns = count if is_dual else width + 1
            zero = Fits(
                jnp.zeros((problems, unknowns, columns, 1)),
                jnp.zeros((problems, columns, 1)),
                jnp.zeros((problems, 1)),
            )
            cost = jnp.full((1, count), model.C, jnp.float64)
            tolerance = _tolerance(features, model)
            full = _fit_alone(
                system, wanted, cost, zero, tolerance, is_dual, model.objective == "lbfgs"
            )
            _check_converged(np.asarray(full.residual), tolerance)
        return cls(model, features, labels, classes, is_dual, system, wanted, full)

    @functools.cached_property
    def tolerance(self) -> float:
        """The gradient's norm at which a fit is done."""
        return _tolerance(self.features, self.model)

    def leave_one_out(self, left_out: Any) -> Fits:
        """The fits without each of these rows [b].

        Rows of similar influence are best given together: see `by_influence`.
        """
        with jax.enable_x64(True), one_blas_thread():
            left_out = np.asarray(left_out, np.int32)
            found = _fit_leave_one_out(
                self.system,
                self.targets,
                self.model.C,
                self.full,
                left_out,
                self.tolerance,
                self.is_dual,
                self._free,
            )
            cost = self.model.C * (np.arange(len(self.labels)) != left_out[:, None])
            return self._refitted(found, self.system, self.targets, cost, self.full)

    def by_influence(self) -> Int[np.ndarray, " n"]:
        """The rows in ascending order of |cost * (target - probability)| at the full fit."""
        with jax.enable_x64(True):
            return np.argsort(
                np.asarray(_influence(self.system, self.targets, self.full, self.is_dual))
            )

    def subsets(self, weights: Float[np.ndarray, "b n"]) -> Fits:
        """The fits to rows with these weights (0: absent), by Newton's method from zero."""
        with jax.enable_x64(True), one_blas_thread():
            zero = jax.tree.map(jnp.zeros_like, self.full)
            cost = jnp.asarray(weights, jnp.float64) * self.model.C
            found = _fit_alone(
                self.system, self.targets, cost, zero, self.tolerance, self.is_dual, self._free
            )
            _check_converged(np.asarray(found.residual), self.tolerance)
            return found

    def order(self, permutations: Int[np.ndarray, "q n"]) -> tuple[Any, Any]:
        """System and targets [q, …] with the rows in these orders, for `prefixes`."""
        with jax.enable_x64(True):
            return _ordered(
                self.system, self.targets, jnp.asarray(permutations, jnp.int32), self.is_dual
            )

    def prefixes(self, ordered: tuple[Any, Any], start: Any, sizes: Int[np.ndarray, " b"]) -> Any:
        """The fits [q, p, …] to the first sizes[0], sizes[0] + 1, … rows of each order.

        They start from `start` (None: from zero). The rows' coordinates follow the order.
        """
        system, targets = ordered
        held = _held(int(sizes[-1]), len(self.labels))
        with jax.enable_x64(True), one_blas_thread():
            if self.is_dual:
                system = system[:, :held, :held]
            else:
                system = system[:, :held]
            targets = targets[:, :, :held]
            unknowns = held if self.is_dual else system.shape[2]
            lead = targets.shape[:2]
            columns = targets.shape[3]
            if start is None:
                coefficients, intercept = (
                    jnp.zeros((*lead, unknowns, columns, 1)),
                    jnp.zeros((*lead, columns, 1)),
                )
            else:
                coefficients = start.coefficients[..., -1:]
                missing = unknowns - coefficients.shape[2]
                coefficients = jnp.pad(coefficients, ((0, 0), (0, 0), (0, missing), (0, 0), (0, 0)))
                intercept = start.intercept[..., -1:]
            begin = Fits(coefficients, intercept, jnp.zeros((*lead, 1)))
            found = _fit_prefixes(
                system,
                targets,
                self.model.C,
                begin,
                jnp.asarray(sizes, jnp.int32),
                self.tolerance,
                self.is_dual,
                self._free,
            )
            unconverged = np.argwhere(
                ~(np.asarray(found.residual).max(1) <= self.tolerance).all(1)
            )[:, 0]
            for order in unconverged:
                cost = self.model.C * (np.arange(held) < np.asarray(sizes)[:, None])
                one = jax.tree.map(lambda x: x[order], found)  # noqa: B023
                base = jax.tree.map(lambda x: x[order], begin)  # noqa: B023
                one = self._refitted(one, system[order], targets[order], cost, base)
                found = jax.tree.map(lambda all_, new: all_.at[order].set(new), found, one)  # noqa: B023
            return found

    def coefficients(self, fits: Fits) -> tuple[Any, Any]:
        """Weights [d, columns, b] of the features and intercepts [columns, b], of all problems."""
        with jax.enable_x64(True):
            coefficients, intercept = self.parts(fits)
            if self.is_dual:
                coefficients = jnp.einsum(
                    "nd,ncb->dcb", jnp.asarray(self.features, jnp.float64), coefficients
                )
            return coefficients, intercept

    def parts(self, fits: Fits) -> tuple[Any, Any]:
        """Coefficients [., columns, b] and intercepts [columns, b].

        Coefficients multiply the rows' kernel (dual) or the features (primal).
        """
        return _parts(fits, self.is_dual, self._free)

    def _refitted(self, found: Fits, system: Any, targets: Any, cost: Any, start: Fits) -> Fits:
        """The fits, with those that did not converge computed alone."""
        unconverged = np.flatnonzero(~(np.asarray(found.residual).max(0) <= self.tolerance))
        if not len(unconverged):
            return found
        # From zero every row has a large curvature: Newton's method converges there if it does not
        # from `start`.
        for begin in (start, jax.tree.map(jnp.zeros_like, start)):
            padded = np.resize(
                unconverged, _power_of_two(len(unconverged))
            )  # few shapes, few compilations
            weight = jnp.asarray(np.asarray(cost)[padded], jnp.float64)
            alone = _fit_alone(
                system, targets, weight, begin, self.tolerance, self.is_dual, self._free
            )
            found = jax.tree.map(lambda all_, new: all_.at[..., padded].set(new), found, alone)  # noqa: B023
            unconverged = np.flatnonzero(~(np.asarray(found.residual).max(0) <= self.tolerance))
            if not len(unconverged):
                return found
        _check_converged(np.asarray(found.residual), self.tolerance)
        return found

    @property
    def _free(self) -> bool:
        return self.model.objective == "lbfgs"


def _tolerance(features: Any, model: LogisticRegression) -> float:
    """The gradient norm, less its rounding error, below which a fit has converged.

    Weights are off by less than it, decisions by that times a row's length. So that the scale of
    the features does not matter, it shrinks if rows are long, and if they are so short that the
    weights' part of the gradient is small.
    """
    norm = float(np.sqrt(np.mean(np.sum(np.asarray(features, np.float64) ** 2, axis=1))))
    scale = min(1.0, norm, 1 / norm) if norm > 0 else 1.0
    return model.tolerance * (1 + model.C * len(features) ** 0.5) * scale


def _check_converged(residual: Any, tolerance: float) -> None:
    worst = float(residual.max())
    if not worst <= 1e3 * tolerance:
        raise ValueError(
            f"a logistic regression did not reach its optimum (gradient {worst:.2g}, wanted "
            f"{tolerance:.2g}): scale the features, say "
            "to unit variance, or lower C"
        )


def _held(size: int, count: int) -> int:
    """The rows that a prefix is padded to: few sizes, so that few shapes are compiled."""
    step = max(64, -(-count // 8))
    return min(count, -(-size // step) * step)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _make_system(features: Any, is_dual: bool, penalised_intercept: bool) -> Any:
    rows = features.astype(jnp.float64)
    if is_dual:
        return rows @ rows.T + (1.0 if penalised_intercept else 0.0)
    return jnp.concatenate([rows, jnp.ones((rows.shape[0], 1), jnp.float64)], axis=1)


def _make_ordered(system: Any, targets: Any, permutations: Any, is_dual: bool) -> tuple[Any, Any]:
    def order(permutation: Any) -> tuple[Any, Any]:
        rows = system[permutation]
        return rows[:, permutation] if is_dual else rows, targets[:, permutation]

    return jax.vmap(order)(permutations)


def _make_alone(
    system: Any,
    targets: Any,
    cost: Any,
    start: Fits,
    tolerance: Any,
    is_dual: bool,
    free_intercept: bool,
) -> Fits:
    """[b] fits one after another from one start, each problem alone."""

    def problem(target: Any, begin: Fits, weight: Any) -> Fits:
        if is_dual:
            dual_fit = dual.fit(
                system, target, weight, dual.DualFits(*begin), tolerance, free_intercept
            )
            return Fits(*(x[..., 0] for x in dual_fit))
        found = primal.fit(
            system, target, weight, primal.PrimalFits(begin[0], begin[2]), tolerance, free_intercept
        )
        return Fits(found.weights[..., 0], jnp.zeros(target.shape[1]), found.residual[0])

    every = jax.vmap(problem, in_axes=(0, 0, None))
    found = jax.lax.map(lambda weight: every(targets, start, weight), cost)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), found)


def _make_leave_one_out(
    system: Any,
    targets: Any,
    cost: Any,
    full: Fits,
    left_out: Any,
    tolerance: Any,
    is_dual: bool,
    free_intercept: bool,
) -> Fits:
    def problem(target: Any, begin: Fits) -> Fits:
        if is_dual:
            full_fit = dual.DualFits(*begin)
            return Fits(
                *dual.fit_leave_one_out(
                    system, target, cost, full_fit, left_out, tolerance, free_intercept
                )
            )
        start = primal.PrimalFits(begin.coefficients, begin.residual)
        found = primal.fit_leave_one_out(
            system, target, cost, start, left_out, tolerance, free_intercept
        )
        return Fits(found.weights, jnp.zeros((target.shape[1], left_out.shape[0])), found.residual)

    return jax.vmap(problem)(targets, full)


def _make_prefixes(
    systems: Any,
    targets: Any,
    cost: Any,
    start: Fits,
    sizes: Any,
    tolerance: Any,
    is_dual: bool,
    free_intercept: bool,
) -> Fits:
    def problem(system: Any, target: Any, begin: Fits) -> Fits:
        if is_dual:
            return Fits(
                *dual.fit_prefixes(
                    system, target, cost, dual.DualFits(*begin), sizes, tolerance, free_intercept
                )
            )
        first = primal.PrimalFits(begin.coefficients, begin.residual)
        found = primal.fit_prefixes(system, target, cost, first, sizes, tolerance, free_intercept)
        return Fits(found.weights, jnp.zeros((target.shape[1], sizes.shape[0])), found.residual)

    every = jax.vmap(problem, in_axes=(None, 0, 0))
    # One order after another: each stops as soon as its own fits have converged.
    return jax.lax.map(lambda order: every(*order), (systems, targets, start))


def _make_influence(system: Any, targets: Any, full: Fits, is_dual: bool) -> Any:
    if is_dual:
        return jnp.max(jnp.abs(full.coefficients), axis=(0, 2, 3))
    decisions = jnp.einsum("nr,prc->pnc", system, full.coefficients[..., 0])
    return jnp.max(jnp.abs(targets - jax.vmap(logistic.probabilities)(decisions)), axis=(0, 2))


def parts_of(fits: Fits, is_dual: bool, free_intercept: bool) -> tuple[Any, Any]:
    """As `Fitter.parts`."""
    joined = jnp.moveaxis(fits.coefficients, 0, -3)  # [., p, c, b]
    joined = joined.reshape(*joined.shape[:-3], -1, joined.shape[-1])
    if not is_dual:
        return joined[:-1], joined[-1]
    intercept = fits.intercept.reshape(-1, fits.intercept.shape[-1])
    return joined, intercept if free_intercept else jnp.sum(joined, axis=0)


_system_jit = jax.jit(_make_system, static_argnums=(1, 2))
_ordered = jax.jit(_make_ordered, static_argnums=3)
_fit_alone = jax.jit(_make_alone, static_argnums=(5, 6))
_fit_leave_one_out = jax.jit(_make_leave_one_out, static_argnums=(6, 7))
_fit_prefixes = jax.jit(_make_prefixes, static_argnums=(6, 7))
_influence = jax.jit(_make_influence, static_argnums=3)
_parts = jax.jit(parts_of, static_argnums=(1, 2))
