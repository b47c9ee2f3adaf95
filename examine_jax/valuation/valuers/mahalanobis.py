"""Mahalanobis distance to the mean."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.features.centring import centred_and_scaled
from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import LabelFree


@dataclasses.dataclass(frozen=True)
class Mahalanobis(LabelFree):
    """Minus the Mahalanobis distance to the mean.

    The covariance is shrunk by Ledoit and Wolf's rule (scikit-learn).
    """

    def _values(self, features: Any, key: Any) -> Any:
        from sklearn.covariance import LedoitWolf

        (rows,) = centred_and_scaled(features)
        estimate = LedoitWolf().fit(rows)
        if not np.trace(estimate.covariance_) > 0:
            return np.zeros(len(features))
        return -np.sqrt(np.maximum(estimate.mahalanobis(rows), 0.0))


ENTRY = ValuerEntry(
    "mahalanobis",
    "minus the Mahalanobis distance to the mean",
    lambda options, validation: Mahalanobis(),
)
