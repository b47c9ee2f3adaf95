"""Any Flax module as an encoder, and networks with and without batch norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from examine_jax.models import FlaxEncoder, ViTConfig, init_network, run_network

IMAGES = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 8, 8, 3)), jnp.float32)


class Normed(nn.Module):
    widths: tuple[int, ...] = (6,)

    @nn.compact
    def __call__(self, images, train):
        x = images
        for width in self.widths:
            x = nn.Conv(width, (3, 3))(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return x.mean(axis=(1, 2)).astype(jnp.bfloat16)


class Plain(nn.Module):
    @nn.compact
    def __call__(self, images):
        return nn.Dense(5)(images.reshape(len(images), -1))


def test_a_module_with_batch_norm_moves_its_statistics_in_training_alone():
    encoder = FlaxEncoder(Normed(), image_size=8, channels=3, features=6)
    module = encoder.module()
    params, stats = init_network(module, jax.random.key(0), IMAGES)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, stats))} == {jnp.dtype("float32")}
    embedded, unchanged = run_network(module, params, stats, IMAGES, train=False)
    assert embedded.shape == (4, 6)
    assert embedded.dtype == jnp.float32
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, stats, unchanged)))
    trained, moved = run_network(module, params, stats, IMAGES, train=True)
    assert not np.allclose(trained, embedded)
    norm = moved["network"]["BatchNorm_0"]
    convolved = nn.Conv(6, (3, 3)).apply({"params": params["network"]["Conv_0"]}, IMAGES)
    np.testing.assert_allclose(
        norm["mean"], 0.1 * convolved.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(norm["var"], 0.9 + 0.1 * convolved.var(axis=(0, 1, 2)), rtol=1e-4)


def test_a_module_without_a_train_argument_works():
    encoder = FlaxEncoder(Plain(), image_size=8, channels=3, features=5)
    params, stats = init_network(encoder.module(), jax.random.key(0), IMAGES)
    assert stats == {}
    for train in (False, True):
        outputs, stats = run_network(encoder.module(), params, stats, IMAGES, train=train)
        assert outputs.shape == (4, 5)
        assert stats == {}


def test_a_vit_is_run_the_same_way():
    config = ViTConfig(
        image_size=8, patch_size=4, channels=3, width=8, depth=1, heads=2, mlp_width=8
    )
    params, stats = init_network(config.module(), jax.random.key(0), IMAGES)
    assert stats == {}
    features, stats = run_network(config.module(), params, stats, IMAGES, train=True)
    assert features.shape == (4, 8)
    assert stats == {}


def test_encoders_of_equal_modules_are_equal_values():
    first, second = (FlaxEncoder(Normed((6, 6)), 8, 3, 6) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FlaxEncoder(Plain(), 0, 3, 5), "image_size must be at least 1"),
        (lambda: FlaxEncoder(nn.Conv(3, [3, 3]), 8, 3, 5), "tuples for lists"),
        (
            lambda: init_network(FlaxEncoder(Plain(), 8, 3, 6).module(), jax.random.key(0), IMAGES),
            r"Plain gives \[4, 5\] .* not \[4, 6\]",
        ),
    ],
)
def test_what_cannot_serve_as_an_encoder_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
