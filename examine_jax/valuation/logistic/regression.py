"""Logistic regression as scikit-learn defines it, solved to the optimum, for many fits at once."""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.on_device import on_device
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.logistic.blas_threads import one_blas_thread
from examine_jax.valuation.logistic.compiled_fits import (
    Fits,
    fit_alone,
    fit_leave_one_out,
    fit_prefixes,
    influence,
    ordered,
    parts,
    system_of,
)

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
            system = system_of(on_device(features), is_dual, model.objective == "liblinear")
            wanted = jnp.asarray(targets, jnp.float64)
            unknowns = count if is_dual else width + 1
            zero = Fits(
                jnp.zeros((problems, unknowns, columns, 1)),
                jnp.zeros((problems, columns, 1)),
                jnp.zeros((problems, 1)),
            )
            cost = jnp.full((1, count), model.C, jnp.float64)
            tolerance = _tolerance(features, model)
            full = fit_alone(
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
            found = fit_leave_one_out(
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
                np.asarray(influence(self.system, self.targets, self.full, self.is_dual))
            )

    def subsets(self, weights: Float[np.ndarray, "b n"]) -> Fits:
        """The fits to rows with these weights (0: absent), by Newton's method from zero."""
        with jax.enable_x64(True), one_blas_thread():
            zero = jax.tree.map(jnp.zeros_like, self.full)
            cost = jnp.asarray(weights, jnp.float64) * self.model.C
            found = fit_alone(
                self.system, self.targets, cost, zero, self.tolerance, self.is_dual, self._free
            )
            _check_converged(np.asarray(found.residual), self.tolerance)
            return found

    def order(self, permutations: Int[np.ndarray, "q n"]) -> tuple[Any, Any]:
        """System and targets [q, …] with the rows in these orders, for `prefixes`."""
        with jax.enable_x64(True):
            return ordered(
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
            found = fit_prefixes(
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
        return parts(fits, self.is_dual, self._free)

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
            alone = fit_alone(
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
