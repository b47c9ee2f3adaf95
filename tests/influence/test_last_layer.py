"""The closed form, against gradients of the layer's weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.influence import (
    LayerPass,
    cross_entropy_gradients,
    gradient_products,
    last_layer_self_influence,
    last_layer_tracin,
    normalised_regression_gradients,
)
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
        flat = np.concatenate(
            [np.asarray(leaf).reshape(9, -1) for leaf in per_sample.values()], axis=1
        )
        gradients = normalised_regression_gradients(
            jnp.asarray(activations @ layer["W"] + layer["b"]), jnp.asarray(targets)
        )
        found = gradient_products(
            jnp.asarray(activations), gradients, jnp.asarray(activations), gradients, bias=bias
        )
    np.testing.assert_allclose(found, flat @ flat.T, rtol=1e-12, atol=1e-15)


def test_gradient_of_byol_s_loss_is_autodiff_s():
    rng = np.random.default_rng(0)
    q, z = (jnp.asarray(rng.standard_normal((8, 5)), jnp.float32) for _ in range(2))
    np.testing.assert_allclose(
        normalised_regression_gradients(q, z), jax.vmap(jax.grad(_byol))(q, z), atol=1e-6
    )
    np.testing.assert_array_equal(normalised_regression_gradients(0 * q, z), 0)
    assert np.isfinite(normalised_regression_gradients(q, 0 * z)).all()


def test_blocks_sum_over_checkpoints(monkeypatch):
    monkeypatch.setattr(last_layer_file, "TRAIN_BLOCK", 8)
    monkeypatch.setattr(last_layer_file, "TEST_BLOCK", 4)
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
        one.learning_rate
        * (one.activations @ other.activations.T + 1)
        * (one.gradients @ other.gradients.T)
        for one, other in zip(train, test)
    )
    influences = last_layer_tracin(train, test, bias=True)
    np.testing.assert_allclose(influences.matrix(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        influences.extremes(2).helpful, np.argsort(-expected.T, axis=1)[:, :2]
    )
    with pytest.raises(ValueError, match="2 passes of training images and 1 of test images"):
        last_layer_tracin(train, test[:1], bias=True)


def _pass(images, inputs=5, outputs=3, gradients=None, dtype=np.float32):
    return LayerPass(
        np.ones((images, inputs), dtype), np.ones((gradients or images, outputs), dtype), 0.1
    )


@pytest.mark.parametrize("call", [last_layer_tracin, last_layer_self_influence])
@pytest.mark.parametrize(
    ("train", "message"),
    [
        ([_pass(10), _pass(6)], r"passes are of \[10, 6\] training images"),
        ([_pass(6), _pass(10)], r"passes are of \[6, 10\] training images"),
        (
            [_pass(10, gradients=6)],
            r"checkpoint 0: activations \[10, 5\] and gradients \[6, 3\] of training images",
        ),
        (
            [_pass(10), LayerPass(np.ones(10), np.ones((10, 3)), 0.1)],
            r"checkpoint 1: activations \[10\]",
        ),
    ],
)
def test_passes_that_do_not_fit_one_another_are_refused(call, train, message):
    with pytest.raises(ValueError, match=message):
        call(train, *([[_pass(4)] * len(train)] if call is last_layer_tracin else []), bias=True)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ([_pass(4), _pass(3)], r"passes are of \[4, 3\] test images"),
        (
            [_pass(4), _pass(4, gradients=3)],
            r"checkpoint 1: activations \[4, 5\] and gradients \[3, 3\] of test images",
        ),
        (
            [_pass(4), _pass(4, inputs=6)],
            "checkpoint 1: the layer has 5 inputs and 3 outputs .*, 6 and 3 for the test",
        ),
        (
            [_pass(4, outputs=2), _pass(4)],
            "checkpoint 0: the layer has 5 inputs and 3 outputs .*, 5 and 2 for the test",
        ),
    ],
)
def test_passes_of_test_images_that_do_not_fit_the_training_images_are_refused(test, message):
    with pytest.raises(ValueError, match=message):
        last_layer_tracin([_pass(10), _pass(10)], test, bias=True)


def test_self_influence_without_a_checkpoint_is_refused():
    with pytest.raises(ValueError, match="no checkpoint"):
        last_layer_self_influence([], bias=True)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_passes_of_half_precision_do_not_overflow(dtype):
    # (300^2 * 4 + 1) (40^2 * 2): far over float16's 65504.
    one = LayerPass(np.full((3, 4), 300, dtype), np.full((3, 2), 40, dtype), 0.5)
    for passes in (
        [one],
        [LayerPass(jnp.asarray(one.activations), jnp.asarray(one.gradients), np.float64(0.5))],
    ):
        own = last_layer_self_influence(passes, bias=True)
        matrix = last_layer_tracin(passes, passes, bias=True).matrix()
        expected = 0.5 * (4 * float(one.activations[0, 0]) ** 2 + 1) * 2 * 40**2
        np.testing.assert_allclose(own, np.full(3, expected), rtol=1e-6)
        np.testing.assert_allclose(matrix, np.full((3, 3), expected), rtol=1e-6)
        assert own.dtype == matrix.dtype == np.float32


@pytest.mark.parametrize(
    ("labels", "message"), [([0, 3], "label 3 of row 1"), ([-1, 0], "label -1 of row 0")]
)
def test_labels_outside_the_classes_have_no_gradient(labels, message):
    logits, labels = jnp.zeros((2, 3)), jnp.asarray(labels)
    with pytest.raises(ValueError, match=rf"{message} is outside 0 \.\. 2 \(1 such rows\)"):
        cross_entropy_gradients(logits, labels)
    # Under jit nothing can be raised: what cannot be computed is nan.
    traced = jax.jit(cross_entropy_gradients)(logits, labels)
    np.testing.assert_array_equal(np.isnan(traced).all(axis=1), (labels < 0) | (labels > 2))
