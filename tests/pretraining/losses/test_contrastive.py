"""NT-Xent against pytorch-metric-learning, DCL and DCLW against the reference code's formulas.

Awkward embeddings.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.pretraining.losses import decoupled_contrastive, nt_xent


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_and_its_gradients_equal_pytorch_metric_learning(check_against, temperature):
    check_against(functools.partial(nt_xent, temperature=temperature), f"nt_xent_{temperature}")


def test_the_sum_of_directions_is_twice_the_mean_as_in_simclrs_own_code(golden):
    views = (jnp.asarray(golden[f"wide.{side}"], jnp.float32) for side in ("first", "second"))
    total = jax.jit(functools.partial(nt_xent, temperature=0.1, directions="sum"))(*views)
    np.testing.assert_allclose(total, 2 * golden["wide.nt_xent_0.1.value"], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dcl_both", {}),
        ("dclw_both", {"weight_sigma": 0.5}),
        ("dclw_first", {"weight_sigma": 0.5, "directions": "first"}),
    ],
)
def test_dcl_and_dclw_and_their_gradients_equal_the_reference_code(check_against, name, settings):
    check_against(functools.partial(decoupled_contrastive, temperature=0.1, **settings), name)


LOSSES = [
    pytest.param(functools.partial(nt_xent, temperature=0.1), id="nt_xent"),
    pytest.param(functools.partial(decoupled_contrastive, temperature=0.1), id="dcl"),
    pytest.param(
        functools.partial(decoupled_contrastive, temperature=0.1, weight_sigma=0.5), id="dclw"
    ),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_awkward_embeddings_give_finite_values_and_gradients(loss):
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)), jnp.float32)
    differentiate = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    for first, second in [
        (rows, rows),  # equal views
        (jnp.zeros_like(rows), rows),  # an encoder that gives nothing
        (jnp.zeros_like(rows), jnp.zeros_like(rows)),
        (jnp.ones_like(rows), jnp.ones_like(rows)),  # collapsed
        (rows * 1e-5, rows * 1e15),  # lengths must not matter
        (rows.at[0].set(0), rows),
        (rows.at[1].set(rows[0]), rows),  # two images alike
    ]:
        value, gradients = differentiate(first, second)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16_embeddings_give_a_float32_loss(loss):
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 6)), jnp.bfloat16)
    value = loss(rows[0], rows[1])
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(
        value, loss(rows[0].astype(jnp.float32), rows[1].astype(jnp.float32)), rtol=1e-6
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_single_image_has_no_negatives_and_is_refused(loss):
    with pytest.raises(ValueError, match="at least 2 images a batch"):
        loss(jnp.ones((1, 3)), jnp.ones((1, 3)))
