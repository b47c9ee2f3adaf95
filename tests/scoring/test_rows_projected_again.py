"""The few rows that float32 cannot certify are projected again in float64, against LAPACK."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg.lapack import dlasd4

from examine_jax.scoring import Examination, Path, Secular
from examine_jax.scoring.equations.rows import prepare
from examine_jax.scoring.solvers import secular

COUNT, WIDTH, ABSENT = 400, 320, 3
PRESENT = np.arange(COUNT + ABSENT) < COUNT


def rows() -> np.ndarray:
    """No direction stands out, and the last rows are absent."""
    features = np.random.default_rng(0).standard_normal((COUNT + ABSENT, WIDTH))
    return np.where(PRESENT[:, None], features, np.nan).astype(np.float32)


def exact_gaps(features: np.ndarray) -> np.ndarray:
    exact = features[PRESENT].astype(np.float64)
    values, vectors = np.linalg.eigh(exact.T @ exact)
    values, coordinates = values[::-1], exact @ vectors[:, ::-1]
    poles = np.sqrt(values[0] - values)
    drops = np.array(
        [dlasd4(0, poles, row / np.linalg.norm(row), row @ row)[1] ** 2 for row in coordinates]
    )
    return drops / (np.sqrt(values[0]) + np.sqrt(values[0] - drops))


def program(few: int) -> Callable[[np.ndarray], Examination]:
    """The examination with float32 products, although the matrix is small."""
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setattr(secular, "CHEAP_PRODUCT", 0)
        patch.setattr(secular, "_FEW", few)
        compiled = (
            jax.jit(lambda x: Secular().solve(prepare(x, jnp.asarray(PRESENT), False)))
            .lower(rows())
            .compile()
        )
    return lambda features: jax.tree.map(np.asarray, compiled(features))


@pytest.fixture(scope="module")
def examined() -> Callable[[np.ndarray], Examination]:
    return program(64)


def check_bounds(found: Examination, gaps: np.ndarray) -> None:
    error = np.abs(np.asarray(found.gap, np.float64)[:COUNT] - gaps)
    assert (error <= found.error_bound[:COUNT] + 1e-15).all()
    assert found.error_bound.max() <= 1e-6 * gaps.max()
    assert not found.gap[COUNT:].any()


def test_few_rows_are_projected_again(examined: Callable[[np.ndarray], Examination]) -> None:
    found, gaps = examined(rows()), exact_gaps(rows())
    assert int(found.diagnostics.path) == Path.FULL_FLOAT32
    check_bounds(found, gaps)
    assert np.abs(found.gap[:COUNT] - gaps).max() <= 1e-7 * gaps.max()


def test_rows_with_nan_stay_nan(examined: Callable[[np.ndarray], Examination]) -> None:
    features = rows()
    features[7, 3] = np.nan
    found = examined(features)
    assert np.isnan(found.gap[:COUNT]).all()
    assert int(found.diagnostics.path) == Path.FULL_FLOAT32  # nothing is computed again


def test_more_rows_than_few_need_all_products_in_float64() -> None:
    found = program(1)(rows())
    assert int(found.diagnostics.path) == Path.FULL_FLOAT64
    check_bounds(found, exact_gaps(rows()))
