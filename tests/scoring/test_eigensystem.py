"""The Gram matrix of float32 products has float64's leading pairs; its error bound is true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring import Path, Secular, examine
from examine_jax.scoring.equations import eigensystem
from examine_jax.scoring.equations.eigensystem import LEAD, refined_eigensystem, scatter
from examine_jax.scoring.equations.rows import prepare

COUNT, WIDTH = 6000, 64


def features_like(spectrum: str) -> np.ndarray:
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((COUNT, WIDTH))
    if spectrum == "decaying":
        rows *= np.exp(-np.arange(WIDTH) / 5)
    if spectrum == "mean":
        rows += 30
    return rows.astype(np.float32)


@jax.jit
def system_of(features: jax.Array):  # type: ignore[no-untyped-def]
    rows = prepare(features, None, False)
    matrix = scatter(rows, jnp.float32)
    return refined_eigensystem(rows, matrix, "float64"), matrix, rows.scale


@pytest.mark.parametrize("spectrum", ["flat", "decaying", "mean"])
def test_leading_pairs_are_those_of_float64_and_the_error_beyond_them_is_bounded(
    spectrum: str,
) -> None:
    features = features_like(spectrum)
    with jax.enable_x64(True):
        system, matrix, scale = jax.tree.map(np.asarray, system_of(features))
    exact = features.astype(np.float64) * scale
    gram = exact.T @ exact
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    # Values that lie closer to the tail than the products' error cannot be told from it; the error
    # that is said covers that.
    off = np.abs(system.values - values)[: LEAD + 1]
    assert (off <= system.lead_shift).all()
    assert off[0] <= 1e-12 * values[0]
    angle = np.linalg.norm(
        system.vectors[:, 0] - vectors[:, 0] * np.sign(system.vectors[:, 0] @ vectors[:, 0])
    )
    assert angle <= system.first_error
    assert (
        system.first_error < 1e-7
    )  # what float32 products alone would leave is 1e-4 on the flat spectrum
    # In the basis that was found G is the values and an error: within the tail, and, much smaller,
    # elsewhere.
    found = system.vectors.T @ gram @ system.vectors - np.diag(system.values)
    assert np.linalg.norm(found, 2) <= system.shift
    found[LEAD + 1 :, LEAD + 1 :] = 0
    assert np.linalg.norm(found, 2) <= system.lead_shift
    # Not a bound that says nothing: within ten times the error of the products themselves.
    assert system.shift <= 10 * np.linalg.norm(matrix - gram, 2) + 1e-12 * values[0]


def test_float32_products_are_certified_where_no_direction_stands_out() -> None:
    rows = np.random.default_rng(0).standard_normal((15_000, 384)).astype(np.float32)
    found, exact = (
        examine(rows, solver=Secular()),
        examine(rows.astype(np.float64), solver=Secular()),
    )
    assert int(found.diagnostics.path) == Path.FULL_FLOAT32
    gap = np.asarray(exact.gap)
    error = np.abs(np.asarray(found.gap, np.float64) - gap)
    assert (error <= np.asarray(found.error_bound) + np.asarray(exact.error_bound)).all()
    assert np.asarray(found.error_bound).max() <= 1e-6 * gap.max() * 1.01
    assert error.max() <= 3e-7 * gap.max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strips_of_a_gram_matrix_are_those_of_the_whole_product(
    monkeypatch: pytest.MonkeyPatch, dtype: type[np.floating]
) -> None:
    features = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32)  # 8, 8, 8, 6

    def matrix() -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(jax.jit(lambda x: scatter(prepare(x, None, False), dtype))(features))

    whole = matrix()
    monkeypatch.setattr(eigensystem, "_FEWEST_COLUMNS_OF_STRIPS", 8)
    strips = matrix()
    assert strips.dtype == np.float64
    for other in (whole, strips.T):
        atol = 8 * float(np.finfo(dtype).eps) * whole.max()
        np.testing.assert_allclose(strips, other, rtol=0, atol=atol)
