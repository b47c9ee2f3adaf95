"""Random values."""

import dataclasses
from typing import Any

from examine_jax.valuation.valuation import seed_of
from examine_jax.valuation.valuers.entry import ValuerEntry
from examine_jax.valuation.valuers.label_free import LabelFree


@dataclasses.dataclass(frozen=True)
class Random(LabelFree):
    """Uniform draws: the baseline that every other valuer has to beat."""

    def _values(self, features: Any, key: Any) -> Any:
        return seed_of(key, 0).random(len(features))


ENTRY = ValuerEntry("random", "uniform draws, the baseline", lambda options, validation: Random())
