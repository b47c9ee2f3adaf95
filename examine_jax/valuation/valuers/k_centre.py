"""The greedy k-centre order (core-set selection)."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.features.centring import centred_and_scaled
from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import LabelFree, values_of_order


@dataclasses.dataclass(frozen=True)
class KCentre(LabelFree):
    """A greedy order: first the row nearest to the mean, then the row farthest from those chosen.

    Distances are Euclidean; O(N^2 D). The first row is worth N, the last 1.

    Source: Sener & Savarese, Active learning for convolutional neural networks: a core-set
        approach, 2018.
    """

    def _values(self, features: Any, key: Any) -> Any:
        (rows,) = centred_and_scaled(features)
        chosen = [int(np.argmin(np.sum((rows - rows.mean(0)) ** 2, axis=1)))]
        distance = np.full(len(rows), np.inf)
        for _ in range(len(rows) - 1):
            distance = np.minimum(distance, np.sum((rows - rows[chosen[-1]]) ** 2, axis=1))
            distance[chosen[-1]] = -1.0
            chosen.append(int(np.argmax(distance)))
        return values_of_order(np.array(chosen))


ENTRY = ValuerEntry(
    "k_centre",
    "greedy order: next is the row farthest from those chosen (core-set)",
    lambda options, validation: KCentre(),
    operations=lambda sizes, options: 20.0 * sizes.rows**2 * sizes.width,
)
