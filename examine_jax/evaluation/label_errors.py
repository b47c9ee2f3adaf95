"""How soon wrong labels are found when rows are inspected from the lowest value upwards."""

import dataclasses

import numpy as np
from sklearn.metrics import roc_auc_score

from examine_jax.common.shapes import Bool, Float
from examine_jax.evaluation.curves import best_first


@dataclasses.dataclass(frozen=True, eq=False)
class LabelErrorCurve:
    """The share of the wrong labels found by the share of the rows inspected.

    Attributes:
        inspected: [N + 1], from 0 to 1: the share of the rows inspected so far.
        found: [N + 1]: the share of the wrong labels among them.
        auroc: the probability that a row with a wrong label has a lower value than a row with a
            correct label; ties count half.
    """

    inspected: Float[np.ndarray, " k"]
    found: Float[np.ndarray, " k"]
    auroc: float


def label_error_curve(
    values: Float[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], *, seed: int
) -> LabelErrorCurve:
    """How well values detect wrong labels.

    Args:
        values: [N], higher is better.
        wrong: [N], true where the label is wrong.
        seed: determines the order of rows of equal value.

    Raises:
        ValueError: there is not one finite value a row, or all labels or none are wrong.
    """
    worst_first = best_first(values, len(wrong), seed)[::-1]
    if wrong.all() or not wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} of {len(wrong)} labels are wrong: there is nothing to tell apart"
        )
    found = np.concatenate([[0.0], np.cumsum(wrong[worst_first]) / wrong.sum()])
    return LabelErrorCurve(
        np.linspace(0, 1, len(found)), found, float(roc_auc_score(wrong, -values))
    )
