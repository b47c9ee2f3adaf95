"""How a valuer is registered: its name, what it needs, how it is made, and what it costs."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.logistic.regression import LogisticRegression
from examine_jax.valuation.metrics import MetricName
from examine_jax.valuation.utility import Utility
from examine_jax.valuation.valuation import Valuer

# What a valuer is given: images; features; features and labels; these and a validation set (or
# folds in its place).
Needs = Literal["images", "features", "labels", "validation"]


@dataclasses.dataclass(frozen=True)
class ValuerOptions:
    """The settings from which valuers are made.

    Attributes:
        model: fitted to sets of rows.
    """

    model: LogisticRegression = dataclasses.field(default_factory=LogisticRegression)
    metric: MetricName = setting(
        "accuracy", "The worth of a fitted model on the validation set.", metavar="NAME"
    )
    permutations: int = setting(1000, "Of tmc_shapley and beta_shapley, at most.", minimum=1)
    truncate: bool = setting(True, "Cut permutations short and stop early, as DataShapley does.")
    sets: int = setting(1000, "Random sets of banzhaf.", minimum=2)
    bags: int = setting(200, "Bootstrap samples of data_oob.", minimum=1)
    neighbours: int = setting(5, "Of knn_shapley.", minimum=1)


@dataclasses.dataclass(frozen=True, eq=False)
class ValidationSet:
    """V: features [M, D] and labels [M], counted from 0.

    Valuers that need no validation set ignore it.
    """

    features: Float[np.ndarray, "m d"]
    labels: Int[np.ndarray, " m"]

    def utility(self, options: ValuerOptions) -> Utility:
        """The worth, on this set, of the options' model."""
        return Utility(self.features, self.labels, options.model, options.metric)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of one problem, from which its time is estimated.

    Attributes:
        rows, width: of the features.
        validation_rows: 0 where there is no validation set.
        classes: 0 where there are no labels.
    """

    rows: int
    width: int
    validation_rows: int
    classes: int

    def fit_operations(self, model: LogisticRegression) -> float:
        """Of one fit among many that share their work, and of scoring it."""
        unknowns, columns = self._unknowns_and_columns()
        shared = 400.0 * self.rows * unknowns + 2.0 * self.validation_rows * unknowns
        return columns * shared + self._factor_operations(model) / 8

    def fit_operations_alone(self, model: LogisticRegression) -> float:
        """Of one fit that shares nothing: Newton steps, each with its own curvature."""
        unknowns, columns = self._unknowns_and_columns()
        return 8 * (columns * self.rows * unknowns**2 + self._factor_operations(model) / 3)

    @property
    def columns(self) -> int:
        """Of a fit's weights: one for two classes, else one a class."""
        return self._unknowns_and_columns()[1]

    def _unknowns_and_columns(self) -> tuple[int, int]:
        return min(self.rows, self.width + 1), 1 if self.classes < 3 else self.classes

    def _factor_operations(self, model: LogisticRegression) -> float:
        # One curvature of all classes together (softmax), or one a class.
        unknowns, columns = self._unknowns_and_columns()
        return float(
            (unknowns * columns) ** 3 if model.objective == "lbfgs" else columns * unknowns**3
        )


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledProblem:
    """Labels for an entry's `check`: [N] as codes, the classes' names, groups [N] or None."""

    labels: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    groups: Any


def _no_notes(problem: LabelledProblem) -> list[str]:
    return []


@dataclasses.dataclass(frozen=True)
class ValuerEntry:
    """A valuer as commands know it.

    Another package exports one and names it: `--valuers=package.module:ENTRY`.

    Attributes:
        name: in commands, and as a column of their tables.
        description: one line, for the list of valuers.
        make: of the options and the validation set (None unless the valuer needs one), the valuer.
        needs: "features": it is called with features alone; "labels": with labels too;
            "validation": once for each validation set; "images": with pixels [N, H, W, C] in place
            of features.
        most_rows: that it takes; None: any number.
        operations: a rough upper bound of floating-point operations, by which long work is refused;
            0 for what takes moments.
        check: refuses labels that the valuer cannot value (ValueError) before any work; returns
            notes for the reader.
    """

    name: str
    description: str
    make: Callable[[ValuerOptions, ValidationSet | None], Valuer]
    needs: Needs = "features"
    most_rows: int | None = None
    operations: Callable[[Sizes, ValuerOptions], float] = lambda sizes, options: 0.0
    check: Callable[[LabelledProblem], list[str]] = _no_notes

    @property
    def needs_labels(self) -> bool:
        return self.needs in ("labels", "validation")


def utility_of(options: ValuerOptions, validation: ValidationSet | None) -> Utility:
    """The utility that a valuer with `needs="validation"` is made of."""
    assert validation is not None
    return validation.utility(options)
