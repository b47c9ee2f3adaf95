"""BYOL's and SimSiam's terms against the reference codes' formulas; unit vectors, collapse."""

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.pretraining.losses import (
    cosine,
    embedding_deviation,
    negative_cosine,
    normalise,
    normalised_regression,
)

ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)), jnp.float32)


def test_byols_direction_equals_its_code_and_no_gradient_reaches_the_target(check_against):
    check_against(normalised_regression, "byol")


def test_simsiams_direction_equals_its_code_and_no_gradient_reaches_the_target(check_against):
    check_against(negative_cosine, "simsiam")


def test_zero_rows_stay_zero_and_pass_no_gradient():
    rows = ROWS.at[1].set(0).at[2].set(1e-9)
    unit = normalise(rows)
    np.testing.assert_allclose(jnp.linalg.norm(unit, axis=1), [1, 0, 0, 1, 1], atol=1e-6)
    for loss in (negative_cosine, normalised_regression, lambda a, b: cosine(a, b).sum()):
        gradient = jax.grad(loss)(rows, ROWS[::-1])
        assert np.isfinite(gradient).all()
        assert not gradient[1].any()
        assert gradient[0].any()


def test_equal_rows_are_at_the_minimum():
    assert abs(normalised_regression(ROWS, 3 * ROWS)) < 1e-12
    np.testing.assert_allclose(negative_cosine(ROWS, 3 * ROWS), -1, rtol=1e-6)
    assert np.abs(jax.grad(normalised_regression)(ROWS, 3 * ROWS)).max() < 1e-6


def test_the_deviation_tells_collapse_from_an_even_spread():
    wide = jnp.asarray(np.random.default_rng(1).normal(size=(4000, 16)), jnp.float32)
    np.testing.assert_allclose(embedding_deviation(wide), 16**-0.5, rtol=0.02)
    assert embedding_deviation(jnp.broadcast_to(wide[:1], wide.shape)) < 1e-6
    assert not jax.grad(embedding_deviation)(ROWS).any()
