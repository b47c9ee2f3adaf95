"""Residual networks: shapes, batch statistics, precision, remat."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from examine_jax.models import ResNetConfig, init_network, resnet, run_network
from examine_jax.models.forward import run_feature_maps
from examine_jax.models.frozen_parameters import merge_frozen, split_frozen

TINY = ResNetConfig(image_size=16, channels=3, depths=(1, 1), width=4, stem="small_image")
BOTTLENECK = ResNetConfig(image_size=16, channels=3, block="bottleneck", depths=(2, 1), width=4)
IMAGES = jnp.asarray(np.random.default_rng(0).uniform(size=(5, 16, 16, 3)), jnp.float32)


@functools.cache
def variables(config):
    """Parameters and statistics with nothing at zero."""
    generator = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: np.asarray(leaf + 0.3 * generator.uniform(size=leaf.shape), np.float32),
        fresh(config),
    )


@functools.partial(jax.jit, static_argnums=0)
def gradient(config, params, stats):
    def loss(params):
        features, moved = run_network(config.module(), params, stats, IMAGES, train=True)
        return jnp.square(features - 1).mean(), (features, moved)

    return jax.grad(loss, has_aux=True)(params)


@functools.partial(jax.jit, static_argnums=0)
def embed(config, params, stats):
    return run_network(config.module(), params, stats, IMAGES, train=False)


@functools.partial(jax.jit, static_argnums=0)
def fresh(config):
    return init_network(config.module(), jax.random.key(0), IMAGES)


@pytest.mark.parametrize("config", [TINY, BOTTLENECK])
def test_training_uses_the_batchs_statistics_and_moves_the_running_ones(config):
    params, stats = variables(config)
    gradients, (trained, moved) = gradient(config, params, stats)
    embedded, same = embed(config, params, stats)
    assert trained.shape == embedded.shape == (5, config.features)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, stats, same)))
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, stats, moved)))
    assert not np.allclose(trained, embedded)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_feature_maps_have_the_features_as_mean_and_frozen_stages_keep_their_statistics(frozen):
    params, stats = variables(TINY)

    @functools.partial(jax.jit, static_argnums=2)
    def run(params, stats, train):
        return run_feature_maps(
            TINY.module(), params, stats, IMAGES, train=train, frozen_stages=frozen
        )

    maps, same = run(params, stats, False)
    assert {stride: one.shape for stride, one in maps.items()} == {
        1: (5, 16, 16, 4),
        2: (5, 8, 8, 8),
    }
    features, _ = embed(TINY, params, stats)
    np.testing.assert_allclose(maps[2].mean(axis=(1, 2)), features, rtol=1e-5)
    _, moved = run(params, stats, True)
    for name, values in moved.items():
        stays = frozen > 1 or (frozen == 1 and not name.startswith("stage_1"))
        same = jax.tree.leaves(jax.tree.map(np.array_equal, values, stats[name]))
        assert all(same) if stays else not any(same), name


@pytest.mark.parametrize("stages", [0, 1, 2])
@pytest.mark.parametrize("norms", [False, True])
def test_frozen_parameters_are_divided_and_merged(stages, norms):
    params, _ = variables(BOTTLENECK)
    trained, frozen = split_frozen(params, stages, norms)
    assert ("stem" in frozen) == (stages > 0)
    assert ("stage_0_block_1" in trained) == (stages < 1)
    assert ("norm_3" in trained.get("stage_1_block_0", {})) == (stages < 2 and not norms)
    merged = merge_frozen(trained, frozen)
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, merged, params)))


def test_each_block_starts_as_the_identity():
    params, _ = fresh(TINY)
    assert not params["stage_0_block_0"]["norm_2"]["scale"].any()
    assert (params["stage_0_block_0"]["norm_1"]["scale"] == 1).all()
    assert (params["stage_1_block_0"]["shortcut_norm"]["scale"] == 1).all()
    plain = dataclasses.replace(TINY, zero_init_residual=False)
    params, _ = fresh(plain)
    assert (params["stage_0_block_0"]["norm_2"]["scale"] == 1).all()


def test_weights_start_with_torchvisions_deviation():
    config = ResNetConfig(image_size=16, channels=3, depths=(1,), width=64)
    params, _ = fresh(config)
    kernel = params["stage_0_block_0"]["conv_1"]["kernel"]
    assert abs(kernel.std() / np.sqrt(2 / (9 * 64)) - 1) < 0.02


@pytest.mark.parametrize("config", [TINY, BOTTLENECK])
def test_remat_gives_the_same_gradient(config):
    params, stats = variables(config)
    plain = gradient(config, params, stats)
    again = gradient(dataclasses.replace(config, remat=True), params, stats)
    assert jax.tree.structure(plain) == jax.tree.structure(again)
    for actual, expected in zip(jax.tree.leaves(again), jax.tree.leaves(plain)):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_bfloat16_keeps_float32_parameters_and_statistics():
    params, stats = variables(TINY)
    half = dataclasses.replace(TINY, dtype="bfloat16")
    gradients, (features, moved) = gradient(half, params, stats)
    _, (expected, _) = gradient(TINY, params, stats)
    assert {leaf.dtype for leaf in jax.tree.leaves((gradients, features, moved))} == {
        jnp.dtype("float32")
    }
    assert np.abs(features - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (2, 3), (5, 2), (9, 8)])
def test_convolutions_of_maps_of_any_size_are_xla_s(shape, size, stride):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, *shape, 3)), jnp.float32)
    module = resnet.Convolution(5, size, stride, jnp.float32)
    params = {"kernel": jnp.asarray(rng.standard_normal((size, size, 3, 5)) / size, jnp.float32)}

    def xla(params, x):
        padding = ((size // 2, size // 2),) * 2
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, params["kernel"], (stride, stride), padding, dimension_numbers=layout
        )

    def ours(params, x):
        return module.apply({"params": params}, x)

    @jax.jit
    def compared(params, x, gradient):
        found, pull_found = jax.vjp(ours, params, x)
        expected, pull_expected = jax.vjp(xla, params, x)
        return (found, pull_found(gradient)), (expected, pull_expected(gradient))

    outputs = jax.eval_shape(xla, params, x).shape
    found, expected = compared(params, x, jnp.asarray(rng.standard_normal(outputs), jnp.float32))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 9, 7, 2), (1, 1, 2, 1)])
def test_the_pool_is_the_windowed_maximum(shape):
    x = jnp.asarray(np.random.default_rng(0).uniform(size=shape), jnp.float32)

    def windowed(x):
        return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))

    @jax.jit
    def compared(x):
        expected, pull = jax.vjp(windowed, x)
        actual, pull_ours = jax.vjp(resnet.max_pool, x)
        return (actual, pull_ours(expected)[0]), (expected, pull(expected)[0])

    (actual, gradient), (expected, expected_gradient) = compared(x)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": ()}, "depths must be one or more"),
        ({"depths": (2, 0)}, "depths must be one or more"),
        ({"width": 0}, "width must be at least 1"),
    ],
)
def test_an_impossible_network_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)
