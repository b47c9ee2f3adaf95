"""Exact Shapley values of a k-nearest-neighbours classifier, in closed form."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.features.centring import centred_and_scaled
from examine_jax.valuation.utility import check_labelled
from examine_jax.valuation.valuation import (
    Progress,
    Valuation,
    check_features,
    check_labels,
    silent,
)
from examine_jax.valuation.valuers.entry import ValidationSet, ValuerEntry, ValuerOptions

_DISTANCES_AT_ONCE = 2**22


@dataclasses.dataclass(frozen=True, eq=False)
class KNNShapley:
    """The exact Shapley value of each row for a k-nearest-neighbours classifier.

    The worth of a set is the mean, over the validation set, of the share of a point's k nearest
    members that have its label. In a set of fewer than k members the missing ones count as wrong.
    O(M N (D + log N)).

    Of rows at the same distance the one of lower index is nearer; rows of small integers are
    compared exactly. Neither a common offset nor the features' scale changes a value.

    Attributes:
        features: [M, D], labels: [M] int: the validation set.
        k: neighbours.

    Source: Jia et al., Efficient task-specific data valuation for nearest neighbor algorithms,
        2019, theorem 1.
    """

    features: Float[np.ndarray, "m d"]
    labels: Int[np.ndarray, " m"]
    k: int = 5

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k!r}")
        check_labelled(self.features, self.labels, "the validation set")

    def value(
        self,
        features: Float[np.ndarray, "n d"],
        labels: Int[np.ndarray, " n"] | None = None,
        key: Any = None,
        *,
        on_progress: Progress | None = None,
        state: Any = None,
    ) -> Valuation:
        """As `Valuer.value`; nothing is drawn, and no state is kept."""
        check_features(features)
        check_labels(features, labels)
        if features.shape[1] != self.features.shape[1]:
            raise ValueError(
                f"the assessed features have {features.shape[1]} columns, the validation set's "
                f"{self.features.shape[1]}: use one encoder"
            )
        assert labels is not None
        progress, count = on_progress or silent, len(features)
        rows, moved = centred_and_scaled(features, self.features)
        # Equal rows have one distance: a product may differ in its last digit from row to row.
        rows, place = np.unique(rows, axis=0, return_inverse=True)
        place, norms = place.reshape(-1), np.sum(rows**2, axis=1)
        values = np.zeros(count)
        size = max(1, _DISTANCES_AT_ONCE // count)
        for start in range(0, len(self.labels), size):
            distances = norms - 2 * moved[start : start + size] @ rows.T
            order = np.argsort(distances[:, place], axis=1, kind="stable")
            right = (labels[order] == self.labels[start : start + size, None]).astype(np.float64)
            position = np.arange(1, count)
            steps = (
                (right[:, :-1] - right[:, 1:]) / self.k * np.minimum(self.k, position) / position
            )
            last = right[:, -1:] / max(count, self.k)
            of_rank = np.concatenate(
                [last + np.cumsum(steps[:, ::-1], axis=1)[:, ::-1], last], axis=1
            )
            np.add.at(values, order.ravel(), of_rank.ravel())
            progress(min(start + size, len(self.labels)), len(self.labels))
        return Valuation(values / len(self.labels))


def _make(options: ValuerOptions, validation: ValidationSet | None) -> KNNShapley:
    assert validation is not None
    return KNNShapley(validation.features, validation.labels, options.neighbours)


ENTRY = ValuerEntry(
    "knn_shapley",
    "exact Shapley values of a k-nearest-neighbours classifier",
    _make,
    needs="validation",
    operations=lambda sizes, options: (
        float(sizes.validation_rows) * sizes.rows * (2 * sizes.width + 200)
    ),
)
