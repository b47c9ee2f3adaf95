"""The closed form, against gradients of the layer's weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.influence import LayerPass, gradient_products, last_layer_tracin, normalised_regression_gradients
from examine_jax.influence import last_layer as last_layer_file


def _byol(prediction, target):
    return 2 - 2 * prediction @ target / (jnp.linalg.norm(prediction) * jnp.linalg.norm(target))


@pytest.mark.parametrize("bias", [True, False])
def test_products_are_those_of_per_sample_gradients_of_the_layer(bias):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        activations, targets = rng.standard_normal((9, 6)), rng.standard_normal((9, 4))
        layer = {"W": rng.standard_normal((6, 4)), "b": rng.standard_normal(4) * bias}

        def loss(layer, a, z):
            return _byol(a @ layer["W"] + (layer["b"] if bias else 0), z)

        per_sample = jax.vmap(jax.grad(loss), (None, 0, 0))(layer, activations, targets)
        flat = np.concatenate([np.asarray(leaf).reshape(9, -1) for leaf in per_sample.values()], axis=1)
        gradients = normalised_regression_gradients(
            jnp.asarray(activations @ layer["W"] + layer["b"]), jnp.asarray(targets)
        )
        found = gradient_products(jnp.asarray(activations), gradients, jnp.asarray(activations), gradients, bias=bias)
    np.testing.assert_allclose(found, flat @ flat.T, rtol=1e-12, atol=1e-15)


def test_gradient_of_byol_s_loss_is_autodiff_s():
    rng = np.random.default_rng(0)
    q, z = (jnp.asarray(rng.standard_normal((8, 5)), jnp.float32) for _ in range(2))
    np.testing.assert_allclose(normalised_regression_gradients(q, z), jax.vmap(jax.grad(_byol))(q, z), atol=1e-6)
    np.testing.assert_array_equal(normalised_regression_gradients(0 * q, z), 0)
    assert np.isfinite(normalised_regression_gradients(q, 0 * z)).all()


def test_blocks_sum_over_checkpoints(monkeypatch):
    monkeypatch.setattr(last_layer_file, "_TRAIN_BLOCK", 8)
    monkeypatch.setattr(last_layer_file, "_TEST_BLOCK", 4)
    rng = np.random.default_rng(0)

    def passes(count):
        return [
            LayerPass(
                rng.standard_normal((count, 5)).astype(np.float32),
                rng.standard_normal((count, 3)).astype(np.float32),
                rate,
            )
            for rate in (0.5, 0.1)
        ]

    train, test = passes(19), passes(6)
    expected = sum(
        one.learning_rate * (one.activations @ other.activations.T + 1) * (one.gradients @ other.gradients.T)
        for one, other in zip(train, test)
    )
    influences = last_layer_tracin(train, test, bias=True)
    np.testing.assert_allclose(influences.matrix(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(influences.extremes(2).helpful, np.argsort(-expected.T, axis=1)[:, :2])
    with pytest.raises(ValueError, match="2 passes of training images and 1 of test images"):
        last_layer_tracin(train, test[:1], bias=True)
