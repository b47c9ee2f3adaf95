"""Detection of wrong labels by value."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from examine_jax.evaluation.label_errors import label_error_curve


def test_wrong_labels_of_lowest_value_are_found_first() -> None:
    found = label_error_curve(
        np.array([3.0, -1.0, 2.0, -2.0]), np.array([False, True, False, True]), seed=0
    )
    assert found.inspected.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.found.tolist() == [0, 0.5, 1, 1, 1]
    assert found.auroc == 1


def test_the_auroc_equals_scikit_learns_and_ties_count_half() -> None:
    generator = np.random.default_rng(0)
    values, wrong = generator.integers(0, 5, 200).astype(float), generator.random(200) < 0.2
    assert label_error_curve(values, wrong, seed=0).auroc == pytest.approx(
        roc_auc_score(wrong, -values)
    )
    flat = label_error_curve(np.zeros(200), wrong, seed=1)
    assert flat.auroc == 0.5
    assert abs(flat.found[100] - 0.5) < 0.25  # ties are shuffled, not in row order


@pytest.mark.parametrize("wrong", [np.zeros(3, bool), np.ones(3, bool)])
def test_all_or_no_wrong_labels_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="nothing to tell apart"):
        label_error_curve(np.arange(3.0), wrong, seed=0)
