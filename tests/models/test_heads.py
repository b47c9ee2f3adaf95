"""Heads against the same perceptron in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models.forward import init_network, run_network
from examine_jax.models.heads import HeadConfig

FEATURES = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


def normed(x, scale=1.0, shift=0.0):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) * scale + shift


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (
            HeadConfig((7, 4)),
            {"dense_0": {"kernel"}, "norm_0": {"scale", "bias"}, "dense_1": {"kernel", "bias"}},
        ),
        (
            HeadConfig((7, 4), hidden_bias=True, output_bias=False),
            {"dense_0": {"kernel", "bias"}, "norm_0": {"scale", "bias"}, "dense_1": {"kernel"}},
        ),
        (
            HeadConfig((7, 4), output_bias=False, output_norm="scaled"),
            {
                "dense_0": {"kernel"},
                "norm_0": {"scale", "bias"},
                "dense_1": {"kernel"},
                "norm_1": {"scale"},
            },
        ),
        (
            HeadConfig((7, 4), output_norm="plain"),
            {"dense_0": {"kernel"}, "norm_0": {"scale", "bias"}, "dense_1": {"kernel", "bias"}},
        ),
        (HeadConfig((4,)), {"dense_0": {"kernel", "bias"}}),
    ],
)
def test_a_head_is_dense_batch_norm_relu_and_a_last_dense(config, named):
    module = config.module()
    params, stats = init_network(module, jax.random.key(0), jnp.asarray(FEATURES))
    assert {name: set(leaves) for name, leaves in params.items()} == named
    params = jax.tree.map(
        lambda leaf: leaf + 0.3 * jnp.cos(jnp.arange(leaf.size).reshape(leaf.shape)), params
    )
    outputs, moved = run_network(module, params, stats, jnp.asarray(FEATURES), train=True)
    x = FEATURES
    for i in range(len(config.widths)):
        dense = params[f"dense_{i}"]
        x = x @ np.asarray(dense["kernel"]) + np.asarray(dense.get("bias", 0))
        last = i == len(config.widths) - 1
        if f"norm_{i}" in params or (last and config.output_norm == "plain"):
            norm = params.get(f"norm_{i}", {})
            np.testing.assert_allclose(
                moved[f"norm_{i}"]["mean"], 0.1 * x.mean(axis=0), rtol=1e-4, atol=1e-6
            )
            x = normed(x, np.asarray(norm.get("scale", 1)), np.asarray(norm.get("bias", 0)))
        x = x if last else np.maximum(x, 0)
    np.testing.assert_allclose(outputs, x, rtol=1e-4, atol=1e-4)
    settled, same = run_network(module, params, moved, jnp.asarray(FEATURES), train=False)
    assert settled.shape == outputs.shape
    assert same is moved


def test_bfloat16_computes_in_bfloat16_and_returns_float32():
    module = HeadConfig((7, 4)).module("bfloat16")
    params, stats = init_network(module, jax.random.key(0), jnp.asarray(FEATURES))
    outputs, moved = run_network(module, params, stats, jnp.asarray(FEATURES), train=True)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, stats, moved, outputs))} == {
        jnp.dtype("float32")
    }
    wide, _ = run_network(
        HeadConfig((7, 4)).module(), params, stats, jnp.asarray(FEATURES), train=True
    )
    assert 1e-5 < np.abs(outputs - wide).max() < 0.1


@pytest.mark.parametrize("widths", [(), (8, 0)])
def test_a_head_without_width_is_refused(widths):
    with pytest.raises(ValueError, match="positive"):
        HeadConfig(widths)
