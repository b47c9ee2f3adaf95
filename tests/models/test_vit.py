"""The options of vision transformers. test_weights.py compares their numbers with transformers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models import DecoderConfig, ViTConfig, init_network, run_network
from examine_jax.pretraining import MAE

PLAIN = ViTConfig(image_size=8, patch_size=4, channels=2, width=8, depth=2, heads=2, mlp_width=12)
FULL = dataclasses.replace(
    PLAIN, positions="learned", qkv_bias=False, mlp="swiglu", layer_scale=0.1
)
IMAGES = jnp.asarray(np.random.default_rng(0).uniform(size=(3, 8, 8, 2)), jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def fresh(config):
    return init_network(config.module(), jax.random.key(0), IMAGES)[0]


@functools.partial(jax.jit, static_argnums=0)
def gradient(config, params):
    return jax.value_and_grad(
        lambda params: jnp.square(
            run_network(config.module(), params, {}, IMAGES, train=True)[0] - 1
        ).mean()
    )(params)


def test_options_change_the_parameters():
    params = fresh(FULL)
    assert params["positions"].shape == (4, 8)
    assert 0.01 < params["positions"].std() < 0.03
    block = params["block_1"]
    assert set(block["attention"]["qkv"]) == {"kernel"}
    assert block["expand"]["kernel"].shape == (8, 24)
    assert block["contract"]["kernel"].shape == (12, 8)
    assert (block["scale_1"] == np.float32(0.1)).all()
    assert (block["scale_2"] == np.float32(0.1)).all()


@pytest.mark.parametrize("config", [PLAIN, FULL])
def test_remat_gives_the_same_gradient(config):
    params = fresh(config)
    plain = gradient(config, params)
    again = gradient(dataclasses.replace(config, remat=True), params)
    assert jax.tree.structure(plain) == jax.tree.structure(again)
    for actual, expected in zip(jax.tree.leaves(again), jax.tree.leaves(plain)):
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_a_masked_autoencoder_trains_with_learned_positions_and_remat():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 2), dtype=np.uint8)
    methods = [
        MAE(
            dataclasses.replace(FULL, remat=remat),
            DecoderConfig(width=8, depth=2, heads=2, mlp_width=8),
        )
        for remat in (False, True)
    ]
    params = jax.jit(methods[0].init)(jax.random.key(0), {"image": images})[0]
    noise = np.random.default_rng(1).uniform(size=(3, 4)).astype(np.float32)
    losses = []
    for method in methods:
        losses.append(jax.jit(jax.value_and_grad(method.masked_loss))(params, images, noise))
    assert np.abs(losses[0][1]["encoder"]["positions"]).max() > 0
    for actual, expected in zip(
        jax.tree.leaves(losses[1]), jax.tree.leaves(losses[0]), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
