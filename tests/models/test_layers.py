"""The hand-written backward passes against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models import layers


def plain_dense(x, kernel, bias):
    return jnp.matmul(x, kernel) + bias


def plain_gelu(x):
    return jax.nn.gelu(x, approximate=False)


def plain_layer_norm(x, scale, bias):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-6) * scale + bias


def plain_attend(query, key, value):
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
    return jax.nn.dot_product_attention(query, key, value).swapaxes(1, 2)


def norm(x, scale, bias):
    return layers.layer_norm(x, scale, bias, 1e-6)


CASES = {
    "dense": (layers.dense, plain_dense, [(7, 5), (5, 3), (3,)]),
    "gelu": (layers.gelu, plain_gelu, [(4, 50)]),
    "layer_norm": (norm, plain_layer_norm, [(7, 12), (12,), (12,)]),
    "attend": (layers.attend, plain_attend, [(2, 3, 9, 4), (2, 3, 9, 4), (2, 3, 9, 4)]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scale", [0.01, 1.0, 5.0])
def test_values_and_gradients_equal_those_of_the_formula(name, scale):
    ours, plain, shapes = CASES[name]
    keys = jax.random.split(jax.random.key(0), len(shapes) + 1)
    inputs = [scale * jax.random.normal(key, shape) for key, shape in zip(keys, shapes)]
    values, pull = jax.vjp(ours, *inputs)
    expected, expected_pull = jax.vjp(plain, *inputs)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=2e-6 * scale)
    weights = jax.random.normal(keys[-1], values.shape)
    for actual, wanted in zip(pull(weights), expected_pull(weights), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=2e-5, atol=1e-5 * np.abs(wanted).max())


def test_gelu_has_the_right_tails():
    x = jnp.asarray([-40.0, -6.0, 0.0, 6.0, 40.0])
    np.testing.assert_allclose(layers.gelu(x), [0, 0, 0, 6, 40], atol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(layers.gelu))(x), [0, 0, 0.5, 1, 1], atol=1e-6)


def test_some_queries_give_those_rows_of_the_output():
    query, key, value = jax.random.normal(jax.random.key(0), (3, 2, 3, 9, 4))
    np.testing.assert_allclose(
        layers.attend(query[:, :, 5:], key, value),
        layers.attend(query, key, value)[:, :, 5:],
        rtol=1e-6,
    )
