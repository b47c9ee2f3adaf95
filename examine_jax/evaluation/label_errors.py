"""How soon wrong labels are found by looking at rows from the worst value up."""

import dataclasses

import numpy as np
from sklearn.metrics import roc_auc_score

from examine_jax.common.shapes import Bool, Float
from examine_jax.evaluation.curves import best_first


@dataclasses.dataclass(frozen=True, eq=False)
class LabelErrorCurve:
    """Attributes:
    inspected: [N + 1] the share of all rows that were looked at, from 0 to 1.
    found: [N + 1] the share of the wrong labels that were among them.
    auroc: the chance that a row with a wrong label has a lower value than one with a right label, ties counted half.
    """

    inspected: Float[np.ndarray, " k"]
    found: Float[np.ndarray, " k"]
    auroc: float


def label_error_curve(values: Float[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], *, seed: int) -> LabelErrorCurve:
    """How values (higher is better) find wrong labels; equal values are looked at in an order of chance, from the seed.

    Raises:
      ValueError: not one finite value a row; all labels are wrong, or none is.
    """
    worst_first = best_first(values, len(wrong), seed)[::-1]
    if wrong.all() or not wrong.any():
        raise ValueError(f"{int(wrong.sum())} of {len(wrong)} labels are wrong: there is nothing to tell apart")
    found = np.concatenate([[0.0], np.cumsum(wrong[worst_first]) / wrong.sum()])
    return LabelErrorCurve(np.linspace(0, 1, len(found)), found, float(roc_auc_score(wrong, -values)))
