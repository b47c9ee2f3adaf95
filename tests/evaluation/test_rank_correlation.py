"""Rank correlations against SciPy's."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from examine_jax.evaluation.rank_correlation import rank_correlations

GENERATOR = np.random.default_rng(0)


def test_each_entry_is_scipys_correlation_with_ties() -> None:
    values = {"a": GENERATOR.normal(size=40), "b": GENERATOR.integers(0, 4, 40).astype(float)}
    values["c"] = -values["a"]
    found = rank_correlations(values)
    for row, first in enumerate(values.values()):
        for column, second in enumerate(values.values()):
            assert found[row, column] == pytest.approx(
                spearmanr(first, second).statistic, abs=1e-12
            )
    assert found[0, 2] == -1


def test_a_constant_valuer_has_no_correlation() -> None:
    found = rank_correlations({"flat": np.zeros(5), "a": np.arange(5.0)})
    assert np.isnan(found[0]).all()
    assert np.isnan(found[:, 0]).all()
    assert found[1, 1] == pytest.approx(1)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"a": np.arange(1.0)},
        {"a": np.arange(3.0), "b": np.arange(4.0)},
        {"a": np.array([0.0, np.nan])},
    ],
)
def test_invalid_values_are_refused(values: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"valuer|finite"):
        rank_correlations(values)
