"""Derivatives of `examine` equal central differences in float64.

The differences are those of LAPACK's singular values with the row deleted.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring import DenseSVD, Examination, examine
from tests.support.spectra import SPECTRA, top_singular_value, with_spectrum

# All of one shape, and so of one compilation. A pair 2e-5 apart; a row whose removal brings up the
# second direction.
SIMPLE = {
    **{
        name: SPECTRA[name]
        for name in ("orthogonal-rows", "zeros", "zero-rows", "rank-one", "ties", "huge", "tiny")
    },
    "nearly-tied": with_spectrum(12, 5, np.array([5, 4.9999, 3, 2, 1]), 3),
    "crossing": np.r_[np.eye(4, 5)[[1, 0, 2, 3]] * [[3], [2.9], [2], [1]], np.zeros((8, 5))],
}
TIED = {
    "orthogonal-tied-rows": SPECTRA["orthogonal-tied-rows"],
    "tied-when-a-row-is-left-out": SPECTRA["tied-and-a-larger-row"],
    "three-tied": with_spectrum(12, 5, np.array([5, 5, 5, 2, 1]), 4),
}


def _loo(features: np.ndarray, center: bool) -> np.ndarray:
    """The top singular values of all rows and, one after the other, without each."""
    without = [top_singular_value(np.delete(features, i, 0), center) for i in range(len(features))]
    return np.array([top_singular_value(features, center), *without])


def _differences(features: np.ndarray, direction: np.ndarray, center: bool) -> np.ndarray:
    """Derivative of `_loo` along a direction: central differences of two steps, extrapolated."""

    def central(step: float) -> np.ndarray:
        up, down = features + step * direction, features - step * direction
        return (_loo(up, center) - _loo(down, center)) / (2 * step)

    step = 1e-6 * max(np.abs(features).max(), 1e-300)
    return (4 * central(step) - central(2 * step)) / 3


@functools.partial(jax.jit, static_argnums=2)
def _jvp(features: jax.Array, direction: jax.Array, center: bool) -> Examination:
    return jax.jvp(lambda f: examine(f, center=center), (features,), (direction,))[1]


def _tangents(features: np.ndarray, direction: np.ndarray, center: bool) -> Examination:
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _jvp(features, direction, center))


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
def test_float64_derivatives_equal_central_differences(center: bool) -> None:
    for name, features in SIMPLE.items():
        direction = np.random.default_rng(1).normal(size=features.shape)
        expected = _differences(features, direction, center)
        tangents = _tangents(features, direction, center)
        sigma, without = expected[0], expected[1:]
        np.testing.assert_allclose(tangents.singular_value, sigma, atol=1e-7, err_msg=name)
        np.testing.assert_allclose(tangents.loo_singular_values, without, atol=1e-7, err_msg=name)
        np.testing.assert_allclose(tangents.gap, sigma - without, atol=1e-7, err_msg=name)
        if np.abs(features).max() < 10:
            loo = _loo(features, center)
            score = -np.exp(loo[1:] - loo[0]) * (sigma - without)
            np.testing.assert_allclose(tangents.score, score, atol=1e-7, err_msg=name)
        np.testing.assert_array_equal(tangents.error_bound, 0)


def test_the_centred_gradient_of_fewer_rows_than_columns_with_masked_rows_by_another_solver() -> (
    None
):
    generator = np.random.default_rng(2)
    features, weights, direction = (
        generator.normal(size=(5, 12)),
        generator.normal(size=5),
        generator.normal(size=(5, 12)),
    )
    padded = np.concatenate([features, np.full((2, 12), np.nan)])
    where = np.arange(7) < 5

    def total(f: jax.Array) -> jax.Array:
        return jnp.sum(
            jnp.concatenate([weights, jnp.ones(2)])
            * examine(f, solver=DenseSVD(), center=True, where=where).gap
        )

    with jax.enable_x64(True):
        gradient = np.asarray(jax.grad(total)(padded))
    expected = _differences(features, direction, True)
    np.testing.assert_allclose(
        np.sum(gradient[:5] * direction), weights @ (expected[0] - expected[1:]), atol=1e-7
    )
    np.testing.assert_array_equal(gradient[5:], 0)


def test_float32_gradients_under_grad_jit_and_vmap_are_right_to_float32() -> None:
    batch = np.random.default_rng(3).normal(size=(3, 12, 5)).astype(np.float32)
    batch[2, 3, 2] = np.nan
    direction = np.random.default_rng(4).normal(size=(12, 5))

    def total(features: jax.Array) -> jax.Array:
        return jnp.sum(examine(features).gap ** 2)

    gradients = jax.jit(jax.vmap(jax.grad(total)))(batch)
    assert gradients.dtype == jnp.float32
    assert np.isnan(gradients[2]).all(), "never a number from NaN"
    for features, gradient in zip(batch[:2], np.asarray(gradients[:2], np.float64)):
        expected, loo = (
            _differences(features.astype(np.float64), direction, False),
            _loo(features, False),
        )
        along = np.sum(2 * (loo[0] - loo[1:]) * (expected[0] - expected[1:]))
        np.testing.assert_allclose(np.sum(gradient * direction), along, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        jax.grad(jax.jit(total))(batch[0]), gradients[0], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
def test_where_values_are_tied_the_derivative_is_a_subgradient(center: bool) -> None:
    generator = np.random.default_rng(5)
    for name, features in TIED.items():
        for size in (1e-3, 1.0):
            direction = size * generator.normal(size=features.shape)
            tangents = _tangents(features, direction, center)
            ahead = _loo(features + direction, center) - _loo(features, center)
            # Singular values are convex: no subgradient promises more than the step brings.
            assert tangents.singular_value <= ahead[0] + 1e-12, name
            assert (tangents.loo_singular_values <= ahead[1:] + 1e-12).all(), name


@pytest.mark.parametrize("second", [jax.hessian, lambda f: jax.jacrev(jax.grad(f))])
def test_a_second_derivative_is_refused_with_the_reason(second) -> None:  # type: ignore[no-untyped-def]
    features = SPECTRA["gaussian-50x50"][:6, :3].astype(np.float32)
    with pytest.raises(ValueError, match="first derivatives only"):
        second(lambda f: examine(f).gap.sum())(features)
