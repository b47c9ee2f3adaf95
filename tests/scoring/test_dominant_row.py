"""Centred features of no more rows than columns, where one row holds nearly all of the scatter.

The other rows' eigenvalues are then near rounding of the first, and their computed eigenvectors mix
with the vector of ones, which centring puts into the null space of the N x N Gram matrix.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from examine_jax.scoring import (
    AdaptiveSecular,
    DenseSVD,
    MaskedPower,
    Secular,
    examine,
    examine_groups,
    leave_one_out_singular_values,
)

COUNT, WIDTH = 6, 16


def matrices() -> list[np.ndarray]:
    found = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        rows = generator.normal(size=(COUNT, WIDTH))
        rows *= 10 ** np.linspace(0, -generator.uniform(0, 4), COUNT)[:, None]
        rows[generator.integers(COUNT)] *= 10.0 ** generator.uniform(4, 8)
        found.append(rows.astype(np.float32))
    return found


MATRICES = matrices()


def top(rows: np.ndarray) -> float:
    """LAPACK's value of the rows, centred by an exactly summed mean."""
    rows = rows.astype(np.float64)
    mean = np.array([math.fsum(column) / len(rows) for column in rows.T])
    return float(np.linalg.svd(rows - mean, compute_uv=False)[0])


def without(rows: np.ndarray) -> np.ndarray:
    return np.array([top(np.delete(rows, row, 0)) for row in range(len(rows))])


Scorer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def by(solver: object) -> Scorer:
    def score(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = examine(rows, solver=solver, center=True)  # type: ignore[arg-type]
        return np.asarray(found.gap, np.float64), np.asarray(found.error_bound, np.float64)

    return score


def by_groups(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = examine_groups(rows, np.arange(COUNT), num_groups=COUNT, center=True)
    return np.asarray(found.gap, np.float64), np.asarray(found.error_bound, np.float64)


SCORERS = {
    "secular": by(Secular()),
    "adaptive-secular": by(AdaptiveSecular()),
    "masked-power": by(MaskedPower()),
    "dense-svd": by(DenseSVD()),
    "groups": by_groups,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SCORERS)
def test_gaps_are_within_their_bounds(name: str, dtype: type[np.floating]) -> None:
    for rows in MATRICES:
        gap, bound = SCORERS[name](rows.astype(dtype))
        # LAPACK's own error is a few float64 roundings of the singular value with all rows.
        assert (np.abs(gap - (top(rows) - without(rows))) <= bound + 2e-15 * top(rows)).all()


def test_singular_values_without_each_row_are_right_to_their_accuracy() -> None:
    for rows in MATRICES:
        found = np.asarray(leave_one_out_singular_values(rows.astype(np.float64), 1, center=True))
        expected = without(rows)
        # A few float64 roundings of sigma_1^2 / sigma, as documented.
        allowed = 1e-14 * top(rows) ** 2 / expected + 1e-14 * expected
        assert (np.abs(found[:, 0] - expected) <= allowed).all()


def test_what_is_left_of_a_root_beside_its_pole_is_exact() -> None:
    rows = np.array(
        [
            [0, 2, -3, 1, -2, -3, -2, 3, -3, -2, -1, 3, 2, 0, 2, -1],
            [3, 3, -1, -3, 0, -3, 1, 1, 2, -3, -2, 1, 1, 3, 0, 3],
            [-3, 3, 3, -3, -2, 0, 1, 3, -3, -3, -1, 3, -2, 3, -1, 0],
            [-2, 0, 1, -3, 3, 1, 2, 0, -3, -2, 2, -1, 3, 3, -3, -2],
            [-1, 1, 1, -2, 0, -1, -1, -2, -1, -3, 3, -3, -3, 3, -1, 2],
            [-2, -2, 3, 3, 3, 0, -1, 3, 2, 2, -3, 1, 1, 0, 3, 1],
        ],
        np.float32,
    )
    rows[4] *= np.float32(67335.688)
    found = examine(rows, solver=Secular(), center=True)
    exact = top(rows) - without(rows)
    error = np.abs(np.asarray(found.gap, np.float64) - exact)
    assert (error <= found.error_bound).all()
    assert (error <= 1e-7 * exact).all()
    left = np.asarray(found.loo_singular_values, np.float64)
    np.testing.assert_allclose(left, without(rows), rtol=1e-6)
