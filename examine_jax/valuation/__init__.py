"""Ways to value data: what each row of features is worth. Imports jax and numpy alone; k-means and Ledoit-Wolf need scikit-learn.

Every valuer is a frozen dataclass with `value(features, labels, key, on_progress=, state=) -> Valuation`; higher is better.
"""

from examine_jax.valuation.image_quality import IMAGE_QUALITIES
from examine_jax.valuation.logistic.regression import Coefficients, LogisticRegression, fit_logistic
from examine_jax.valuation.sampling_state import merge_states
from examine_jax.valuation.stopping import (
    DataShapleyStopping,
    DataShapleyTruncation,
    HistoryDeviation,
    RelativeTruncation,
)
from examine_jax.valuation.utility import FunctionGame, Game, GameMaker, Utility
from examine_jax.valuation.valuation import Valuation, Valuer
from examine_jax.valuation.valuers.banzhaf import Banzhaf
from examine_jax.valuation.valuers.coverage import FacilityLocation, KCentre, ProbCover
from examine_jax.valuation.valuers.data_oob import DataOOB
from examine_jax.valuation.valuers.knn_shapley import KNNShapley
from examine_jax.valuation.valuers.label_free import (
    Examine,
    KNNDistance,
    Leverage,
    Mahalanobis,
    PrototypeDistance,
    Random,
    Typicality,
)
from examine_jax.valuation.valuers.leave_one_out import LeaveOneOut
from examine_jax.valuation.valuers.shapley import BetaShapley, TMCShapley

__all__ = [
    "IMAGE_QUALITIES",
    "Banzhaf",
    "BetaShapley",
    "Coefficients",
    "DataOOB",
    "DataShapleyStopping",
    "DataShapleyTruncation",
    "Examine",
    "FacilityLocation",
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
    "TMCShapley",
    "Typicality",
    "Utility",
    "Valuation",
    "Valuer",
    "fit_logistic",
    "merge_states",
]
