"""The greedy facility-location order."""

import dataclasses
import heapq
from typing import Any

import numpy as np

from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import (
    MOST_ROWS_OF_PAIRS,
    LabelFree,
    cosine_similarities,
    values_of_order,
)


@dataclasses.dataclass(frozen=True)
class FacilityLocation(LabelFree):
    """A greedy order: next is the row that most raises the similarity to the nearest chosen row.

    Cosine similarities to the nearest chosen row are summed over all rows.

    Lazy greedy: a row's gain only falls, so most rows are never evaluated again. At most 20,000
    rows. The first row is worth N, the last 1.

    Source: Minoux 1978; Wei et al. 2015.
    """

    def _values(self, features: Any, key: Any) -> Any:
        similar = cosine_similarities(features) + 1  # not negative: the first choice too is a gain
        nearest = np.zeros(len(similar))
        heap = [(-gain, row) for row, gain in enumerate(similar.sum(axis=0))]
        heapq.heapify(heap)
        chosen: list[int] = []
        while heap:
            old, row = heapq.heappop(heap)
            gain = float(np.maximum(similar[:, row] - nearest, 0.0).sum())
            if heap and (-gain, row) > heap[0]:
                heapq.heappush(heap, (max(-gain, old), row))
                continue
            chosen.append(row)
            nearest = np.maximum(nearest, similar[:, row])
        return values_of_order(np.array(chosen))


ENTRY = ValuerEntry(
    "facility_location",
    "greedy order: next is the row that most raises the similarity to the nearest chosen row",
    lambda options, validation: FacilityLocation(),
    most_rows=MOST_ROWS_OF_PAIRS,
)
