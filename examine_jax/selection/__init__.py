"""Which images to label: coverage of the usable images by the chosen ones.

`select` is the entry point; a strategy is a value that says how to choose.
"""

from examine_jax.selection.budget import number_of_images, parse_budget
from examine_jax.selection.coverage import Sampling
from examine_jax.selection.pool import Choice, Pool, Strategy
from examine_jax.selection.registry import STRATEGIES, strategy_of
from examine_jax.selection.selection import Selection, select
from examine_jax.selection.strategies.examine import Examine
from examine_jax.selection.strategies.facility_location import FacilityLocation
from examine_jax.selection.strategies.k_centre import KCentre
from examine_jax.selection.strategies.k_means_medoids import KMeansMedoids
from examine_jax.selection.strategies.max_herding import MaxHerding
from examine_jax.selection.strategies.prob_cover import ProbCover
from examine_jax.selection.strategies.random import Random
from examine_jax.selection.strategies.typiclust import TypiClust

__all__ = [
    "STRATEGIES",
    "Choice",
    "Examine",
    "FacilityLocation",
    "KCentre",
    "KMeansMedoids",
    "MaxHerding",
    "Pool",
    "ProbCover",
    "Random",
    "Sampling",
    "Selection",
    "Strategy",
    "TypiClust",
    "number_of_images",
    "parse_budget",
    "select",
    "strategy_of",
]
