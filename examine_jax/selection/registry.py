"""The strategies that there are. A new one is a file in `strategies/` and a line here."""

from collections.abc import Callable, Mapping
from typing import Any

from examine_jax.common.registry import lookup
from examine_jax.selection.pool import Strategy
from examine_jax.selection.strategies.examine import Examine
from examine_jax.selection.strategies.facility_location import FacilityLocation
from examine_jax.selection.strategies.k_centre import KCentre
from examine_jax.selection.strategies.k_means_medoids import KMeansMedoids
from examine_jax.selection.strategies.max_herding import MaxHerding
from examine_jax.selection.strategies.prob_cover import ProbCover
from examine_jax.selection.strategies.random import Random
from examine_jax.selection.strategies.typiclust import TypiClust

STRATEGIES: Mapping[str, Callable[[], Strategy]] = {
    "k_means_medoids": KMeansMedoids,
    "facility_location": FacilityLocation,
    "typiclust": TypiClust,
    "max_herding": MaxHerding,
    "prob_cover": ProbCover,
    "k_centre": KCentre,
    "random": Random,
    "examine": Examine,
}


def strategy_of(name: str) -> Strategy:
    """The strategy of this name, or what `package.module:attribute` names.

    The attribute is a strategy, or a function without arguments that gives one, such as its class.

    Raises:
        ValueError: no such strategy, module or attribute; an attribute of another kind.
    """
    found: Any = lookup(name, STRATEGIES, "strategy")
    made = found() if isinstance(found, type) or not isinstance(found, Strategy) else found
    if not isinstance(made, Strategy):
        raise ValueError(
            f"strategy {name!r} makes a {type(made).__name__}, without preprocessing and choose"
        )
    return made
