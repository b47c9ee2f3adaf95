"""Ways to value data: the worth of each row of features.

k-means, Ledoit-Wolf covariances and folds need scikit-learn.

Every valuer is a frozen dataclass with `value(features, labels, key, on_progress=, state=) ->
Valuation`; higher is better. `value_features` runs several by name, side by side.
"""

from examine_jax.valuation.logistic.regression import Coefficients, LogisticRegression, fit_logistic
from examine_jax.valuation.registry import VALUERS, feature_valuers, image_valuers, valuer_entry
from examine_jax.valuation.sampling_state import merge_states
from examine_jax.valuation.side_by_side import FeatureValues, ValueSettings, value_features
from examine_jax.valuation.stopping import (
    DataShapleyStopping,
    DataShapleyTruncation,
    HistoryDeviation,
    RelativeTruncation,
)
from examine_jax.valuation.utility import FunctionGame, Game, GameMaker, Utility
from examine_jax.valuation.valuation import Valuation, Valuer
from examine_jax.valuation.valuers.banzhaf import Banzhaf
from examine_jax.valuation.valuers.beta_shapley import BetaShapley
from examine_jax.valuation.valuers.data_oob import DataOOB
from examine_jax.valuation.valuers.entry import Sizes, ValidationSet, ValuerEntry, ValuerOptions
from examine_jax.valuation.valuers.examine import Examine
from examine_jax.valuation.valuers.facility_location import FacilityLocation
from examine_jax.valuation.valuers.k_centre import KCentre
from examine_jax.valuation.valuers.knn_distance import KNNDistance
from examine_jax.valuation.valuers.knn_shapley import KNNShapley
from examine_jax.valuation.valuers.leave_one_out import LeaveOneOut
from examine_jax.valuation.valuers.leverage import Leverage
from examine_jax.valuation.valuers.mahalanobis import Mahalanobis
from examine_jax.valuation.valuers.prob_cover import ProbCover
from examine_jax.valuation.valuers.prototype_distance import PrototypeDistance
from examine_jax.valuation.valuers.random import Random
from examine_jax.valuation.valuers.tmc_shapley import TMCShapley
from examine_jax.valuation.valuers.typicality import Typicality

__all__ = [
    "VALUERS",
    "Banzhaf",
    "BetaShapley",
    "Coefficients",
    "DataOOB",
    "DataShapleyStopping",
    "DataShapleyTruncation",
    "Examine",
    "FacilityLocation",
    "FeatureValues",
    "FunctionGame",
    "Game",
    "GameMaker",
    "HistoryDeviation",
    "KCentre",
    "KNNDistance",
    "KNNShapley",
    "LeaveOneOut",
    "Leverage",
    "LogisticRegression",
    "Mahalanobis",
    "ProbCover",
    "PrototypeDistance",
    "Random",
    "RelativeTruncation",
    "Sizes",
    "TMCShapley",
    "Typicality",
    "Utility",
    "ValidationSet",
    "Valuation",
    "ValueSettings",
    "Valuer",
    "ValuerEntry",
    "ValuerOptions",
    "feature_valuers",
    "fit_logistic",
    "image_valuers",
    "merge_states",
    "value_features",
    "valuer_entry",
]
