"""The options of vision transformers. test_weights.py compares their numbers with transformers."""

import dataclasses
import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models import (
    AttentionPooling,
    DecoderConfig,
    RotaryPositions,
    ViTConfig,
    ViTExtras,
    init_network,
    patchify,
    run_network,
)
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


REGISTERS = dataclasses.replace(
    PLAIN,
    positions="rotary",
    mlp="geglu",
    pooling="class_and_mean",
    extras=ViTExtras(
        registers=3, embedding_norm=True, query_key_norm=True, rotary=RotaryPositions(base=50.0)
    ),
)


@functools.partial(jax.jit, static_argnums=0)
def in_two_orders(config, params, patches, order):
    """The tokens of patches in their order and in another."""

    def encode(patches, where=None):
        return config.module().apply({"params": params}, patches, where, method="encode")

    return encode(patches), encode(jnp.take_along_axis(patches, order[..., None], axis=1), order)


@functools.partial(jax.jit, static_argnums=0)
def in_all_forms(config, params, images):
    """The last tokens, the features, those of each layer, and a shallower network's tokens."""

    def run(config, *further, method):
        return config.module().apply({"params": params}, images, *further, method=method)

    shallow = dataclasses.replace(config, depth=1)
    return (
        run(config, method="tokens"),
        run(config, method="__call__"),
        run(config, (1, 2), method="layer_tokens"),
        run(shallow, method="tokens"),
    )


def test_patches_that_are_all_visible_in_another_order_give_the_same_tokens():
    config = dataclasses.replace(REGISTERS, depth=1)
    order = jnp.asarray([[2, 0, 3, 1]] * 3)
    plain, shuffled = in_two_orders(config, fresh(REGISTERS), patchify(IMAGES, 4), order)
    assert plain.shape == (3, 1 + 3 + 4, 8)
    np.testing.assert_allclose(shuffled[:, :4], plain[:, :4], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        shuffled[:, 4:], np.take_along_axis(plain[:, 4:], order[..., None], 1), rtol=1e-4, atol=1e-5
    )


def test_class_and_mean_leave_the_registers_out_and_layers_end_with_the_encoders_norm():
    params = fresh(REGISTERS)
    out, features, (first, last), shallow = in_all_forms(REGISTERS, params, IMAGES)
    expected = np.concatenate([out[:, 0], out[:, 4:].mean(axis=1)], axis=-1)
    assert REGISTERS.features == 16
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last, out, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(first, shallow, atol=1e-6)
    assert np.abs(last - first).max() > 0.1
    for layers in ((), (0,), (3,)):
        with pytest.raises(ValueError, match="numbers from 1 to 2"):
            REGISTERS.module().apply({"params": params}, IMAGES, layers, method="layer_tokens")


def test_a_masked_autoencoder_may_have_registers_and_rotary_positions():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 2), dtype=np.uint8)
    method = MAE(
        dataclasses.replace(REGISTERS, remat=True),
        DecoderConfig(width=8, depth=1, heads=2, mlp_width=8),
    )
    params = jax.eval_shape(method.init, jax.random.key(0), {"image": images})[0]
    noise = np.random.default_rng(1).uniform(size=(3, 4)).astype(np.float32)
    loss, change = jax.eval_shape(jax.value_and_grad(method.masked_loss), params, images, noise)
    assert loss.shape == ()
    assert jax.tree.structure(change) == jax.tree.structure(params)


def test_an_encoder_with_every_part_is_exported_for_all_platforms():
    config = dataclasses.replace(
        REGISTERS,
        pooling="attention",
        dtype="bfloat16",
        extras=dataclasses.replace(
            REGISTERS.extras,
            attention_pooling=AttentionPooling(heads=2, mlp_width=12, mlp="gelu_tanh"),
            pooled_norm=True,
            projection=5,
        ),
    )
    params = jax.eval_shape(
        functools.partial(init_network, config.module()), jax.random.key(0), IMAGES
    )[0]
    run = jax.jit(lambda params, x: run_network(config.module(), params, {}, x, train=False)[0])
    exported = jax.export.export(run, platforms=("cpu", "cuda", "tpu"))(params, IMAGES)
    assert exported.out_avals[0].shape == (3, config.features) == (3, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": "rotary"}, "go together"),
        ({"extras": ViTExtras(rotary=RotaryPositions())}, "go together"),
        ({"pooling": "attention"}, "needs extras.attention_pooling"),
        ({"pooling": "class_and_mean", "class_token": False}, "needs class_token"),
        (
            {"pooling": "class_and_mean", "extras": ViTExtras(pooled_norm=True)},
            "no norm or projection",
        ),
        ({"mlp": "mish"}, "mlp must be one of 'gelu'"),
        (
            {
                "positions": "rotary",
                "heads": 4,
                "extras": ViTExtras(rotary=RotaryPositions()),
            },
            "multiple of 4, got 8 / 4",
        ),
        (
            {"pooling": "attention", "extras": ViTExtras(attention_pooling=AttentionPooling(3, 8))},
            r"heads \(3\) must divide width",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PLAIN, **changes)


def test_parts_out_of_range_are_refused():
    for make, message in (
        (lambda: ViTExtras(registers=-1), "registers"),
        (lambda: ViTExtras(projection=0), "projection"),
        (lambda: RotaryPositions(base=0.0), "base"),
        (lambda: AttentionPooling(heads=0, mlp_width=8), "heads"),
        (lambda: AttentionPooling(heads=1, mlp_width=8, mlp="mish"), "mlp"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_in_bfloat16_the_tokens_between_the_branches_may_stay_wide():
    half = REGISTERS.with_precision("bfloat16")
    assert half.parts.wide
    params = jax.eval_shape(lambda: init_network(half.module(), jax.random.key(0), IMAGES)[0])

    def tokens(config):
        return jax.eval_shape(
            lambda params: config.module().apply({"params": params}, IMAGES, method="tokens"),
            params,
        )

    narrow = dataclasses.replace(REGISTERS, dtype="bfloat16")
    assert tokens(half).dtype == jnp.float32
    assert tokens(narrow).dtype == jnp.bfloat16
    assert REGISTERS.with_precision("float32") == REGISTERS
