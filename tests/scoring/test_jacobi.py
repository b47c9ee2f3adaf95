"""The eigenproblems' TPU form, run on this platform, against LAPACK and the solvers' bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring.equations.eigensystem import rounding
from examine_jax.scoring.equations.jacobi import jacobi_eigh, jacobi_singular_value


def _rows(size, kind):
    rows = np.random.default_rng(size).normal(size=(2 * size, size))
    if kind == "steep":
        rows *= np.exp(-np.arange(size))
    if kind == "tied":
        rows = np.eye(2 * size, size)
    if kind == "singular":
        rows[:, size // 2 :] = rows[:, : size - size // 2]
    return rows


@pytest.mark.parametrize("kind", ["plain", "steep", "tied", "singular"])
@pytest.mark.parametrize("size", [1, 2, 3, 41])
def test_the_jacobi_method_is_within_the_error_bound_of_an_eigendecomposition(size, kind):
    rows = _rows(size, kind)
    matrix = rows.T @ rows
    with jax.enable_x64(True):
        values, vectors = (np.asarray(x) for x in jacobi_eigh(jnp.asarray(matrix)))
        sigma = float(jacobi_singular_value(jnp.asarray(rows)))
    bound = rounding(size, 1) * np.linalg.norm(matrix)
    assert np.abs(values - np.linalg.eigvalsh(matrix)).max() <= bound
    assert np.linalg.norm(matrix @ vectors - vectors * values, 2) <= bound
    assert np.linalg.norm(vectors.T @ vectors - np.eye(size), 2) <= rounding(size, 1)
    error = abs(sigma - np.linalg.svd(rows, compute_uv=False)[0])
    assert error <= 4 * 2.0**-52 * rows.size**0.5 * sigma  # DenseSVD's bound


def test_nan_stays_nan_and_zeros_have_the_standard_basis():
    with jax.enable_x64(True):
        assert np.isnan(jacobi_eigh(jnp.full((4, 4), jnp.nan))[0]).all()
        values, vectors = jacobi_eigh(jnp.zeros((3, 3)))
    np.testing.assert_array_equal(values, 0)
    np.testing.assert_array_equal(vectors, np.eye(3))
