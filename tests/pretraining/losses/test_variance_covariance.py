"""VICReg's terms against pytorch-metric-learning and the low-resource paper's code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.pretraining.losses import covariance_penalty, invariance, variance_hinge


def vicreg(first, second, variance_weight=25):
    variance = (variance_hinge(first) + variance_hinge(second)) / 2
    covariance = covariance_penalty(first) + covariance_penalty(second)
    return 25 * invariance(first, second) + variance_weight * variance + covariance


def test_the_weighted_sum_and_its_gradients_equal_pytorch_metric_learning(check_against):
    check_against(
        vicreg, "vicreg", shapes=("narrow", "wide", "pair")
    )  # narrow: more images than coordinates


def test_summed_variance_terms_are_twice_the_weight(check_against):
    check_against(
        lambda first, second: vicreg(first, second, variance_weight=50),
        "vicreg_low_resource",
        shapes=("wide",),
    )


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (7, 7), (2, 9)])
def test_the_penalty_is_the_covariance_matrixs_whichever_product_it_is_taken_from(shape):
    rows = np.random.default_rng(0).normal(size=shape) + 5.0
    covariance = np.atleast_2d(np.cov(rows.T))
    expected = (covariance**2).sum() - (np.diag(covariance) ** 2).sum()
    np.testing.assert_allclose(
        covariance_penalty(jnp.asarray(rows, jnp.float32)), expected / shape[1], rtol=1e-4
    )


def test_a_wide_expander_costs_no_square_of_its_width():
    def largest(jaxpr):
        return max(
            variable.aval.size
            for equation in jaxpr.eqns
            for variable in equation.outvars
            if hasattr(variable.aval, "size")
        )

    jaxpr = jax.make_jaxpr(jax.grad(covariance_penalty))(jnp.zeros((64, 8192))).jaxpr
    assert largest(jaxpr) <= 64 * 8192


def test_awkward_embeddings_give_finite_values_and_gradients():
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)), jnp.float32)
    differentiate = jax.jit(jax.value_and_grad(vicreg, argnums=(0, 1)))
    for first, second in [(rows, rows), (0 * rows, 0 * rows), (0 * rows + 1, rows)]:
        value, gradients = differentiate(first, second)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_bfloat16_embeddings_give_float32_terms():
    rows = jnp.ones((4, 6), jnp.bfloat16)
    assert {
        term.dtype
        for term in (invariance(rows, rows), variance_hinge(rows), covariance_penalty(rows))
    } == {jnp.dtype("float32")}


@pytest.mark.parametrize("term", [variance_hinge, covariance_penalty])
def test_a_single_image_does_not_vary_and_is_refused(term):
    with pytest.raises(ValueError, match="at least 2 images a batch"):
        term(jnp.ones((1, 3)))
