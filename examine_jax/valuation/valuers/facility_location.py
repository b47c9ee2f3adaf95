"""The greedy facility-location order."""

import dataclasses
import heapq
from typing import Any

import numpy as np

from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import (
    MOST_ROWS_OF_PAIRS,
    LabelFree,
    cosine_distances,
    values_of_order,
)


@dataclasses.dataclass(frozen=True)
class FacilityLocation(LabelFree):
    """A greedy order: next is the row that most raises the similarity to the nearest chosen row.

    Cosine similarities to the nearest chosen row are summed over all rows. A row of zeros has
    similarity 0 to every other row.

    Lazy greedy: a row's gain only falls, so most rows are never evaluated again. At most 20,000
    rows. The first row is worth N, the last 1.

    Source: Minoux 1978; Wei et al. 2015.
    """

    def _values(self, features: Any, key: Any) -> Any:
        distance = cosine_distances(features)
        # The similarities to all rows are largest where the distances are smallest. The sum of
        # similarities itself would not tell rows apart that are almost alike.
        first = int(np.argmin(distance.sum(axis=0)))
        chosen, nearest = [first], distance[:, first].copy()
        heap = [(-float(np.inf), row) for row in range(len(distance)) if row != first]
        while heap:
            old, row = heapq.heappop(heap)
            gain = float(np.maximum(nearest - distance[:, row], 0.0).sum())
            if heap and (-gain, row) > heap[0]:
                heapq.heappush(heap, (max(-gain, old), row))
                continue
            chosen.append(row)
            nearest = np.minimum(nearest, distance[:, row])
        return values_of_order(np.array(chosen))


ENTRY = ValuerEntry(
    "facility_location",
    "greedy order: next is the row that most raises the similarity to the nearest chosen row",
    lambda options, validation: FacilityLocation(),
    most_rows=MOST_ROWS_OF_PAIRS,
)
