"""What a network that computes in bfloat16 rounds: read from its program, nothing is compiled.

How far the features are from float32's is in benchmarks/quality/encoder_parity.py.
"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from examine_jax.models import (
    ConvNeXtConfig,
    ResNetConfig,
    ViTConfig,
    ViTExtras,
    init_network,
)
from examine_jax.models.attention_pooling import AttentionPooling
from examine_jax.models.densenet import DenseNetConfig
from examine_jax.models.efficientnet import EfficientNetConfig
from examine_jax.models.layers import attend, dense
from examine_jax.models.resnet_variant import ResNetVariant
from examine_jax.models.rotary_positions import RotaryPositions
from examine_jax.models.sam import SAMConfig
from examine_jax.models.swin import SwinConfig

VIT = ViTConfig(
    image_size=16,
    patch_size=8,
    channels=3,
    width=16,
    depth=1,
    heads=2,
    mlp_width=24,
    mlp="swiglu",
    layer_scale=0.1,
    positions="rotary",
    extras=ViTExtras(
        registers=1,
        query_key_norm=True,
        attention_norm=True,
        mlp_norm=True,
        rotary=RotaryPositions(),
        pooled_norm=True,
        projection=8,
    ),
)
NETWORKS = {
    "vit": VIT,
    "vit_norm_after": dataclasses.replace(
        VIT, positions="learned", mlp="gelu", extras=ViTExtras(norm_after=True)
    ),
    "vit_relative": dataclasses.replace(
        VIT, positions="relative", extras=ViTExtras(relative_bias=True, shared_relative_bias=True)
    ),
    "vit_pooler": dataclasses.replace(
        VIT,
        positions="learned",
        pooling="attention",
        extras=ViTExtras(attention_pooling=AttentionPooling(2, 24)),
    ),
    "convnext": ConvNeXtConfig(32, depths=(1, 1), widths=(8, 16), response_norm=True),
    "swin": SwinConfig(16, depths=(1, 2), heads=(1, 2), windows=(2, 2), width=8),
    "swin_convolutions": SwinConfig(
        16, depths=(2,), heads=(1,), windows=(2,), width=8, stem="convolutions"
    ),
    "sam": SAMConfig(
        image_size=32,
        patch_size=8,
        width=16,
        depth=2,
        heads=2,
        mlp_width=24,
        window=2,
        global_blocks=(1,),
        neck=8,
    ),
    "resnet": ResNetConfig(32, 3, block="bottleneck", depths=(1, 1), width=8),
    "resnet_variant": ResNetConfig(
        32,
        3,
        block="bottleneck",
        depths=(1, 1),
        width=8,
        variant=ResNetVariant(groups=2, deep_stem=(4, 4), squeeze_excite=True),
    ),
    "densenet": DenseNetConfig(32, 3, depths=(1, 1), growth=8, stem_width=8),
    "efficientnet": EfficientNetConfig(
        32,
        depths=(1, 1),
        widths=(8, 40),
        kernels=(3, 5),
        expansions=(1, 6),
        stage_strides=(1, 2),
        stem_width=8,
        head_width=16,
    ),
}


def equations(jaxpr) -> Iterator:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def products(config, train: bool) -> list[tuple[np.dtype, np.dtype]]:
    """(dtype of the factors, dtype of the outputs) of each product and convolution, in order."""
    return [(factors, outputs) for _, factors, outputs in operations(config, train)]


def operations(config, train: bool, **of_maps) -> list[tuple[str, np.dtype, np.dtype]]:
    """(kind, dtype of the factors, dtype of the outputs), in order."""
    half = (
        config.with_precision("bfloat16")
        if isinstance(config, ViTConfig)
        else dataclasses.replace(config, dtype="bfloat16")
    )
    images = jnp.zeros((1, config.image_size, config.image_size, 3))
    params, stats = jax.eval_shape(lambda: init_network(half.module(), jax.random.key(0), images))
    variables = {"params": params, "batch_stats": stats}
    traced = jax.make_jaxpr(
        lambda variables: half.module().apply(
            variables, images, train=train, mutable=["batch_stats"], **of_maps
        )
    )(variables)
    return [
        (equation.primitive.name, equation.invars[0].aval.dtype, equation.outvars[0].aval.dtype)
        for equation in equations(traced.jaxpr)
        if equation.primitive.name in ("dot_general", "conv_general_dilated")
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_outside_training_the_factors_alone_are_rounded_and_pixels_are_not(name):
    found = operations(NETWORKS[name], train=False)
    assert found[0][1:] == (jnp.float32, jnp.float32)
    # What attention in windows mixes is only a factor of the next product.
    mixed = {"swin": 3, "swin_convolutions": 2, "sam": 2}.get(name, 0)
    sums = [outputs for kind, _, outputs in found if kind == "dot_general"]
    assert sum(outputs != jnp.float32 for outputs in sums) == mixed
    assert jnp.bfloat16 in [factors for _, factors, _ in found]
    # XLA would widen a convolution's factors for a GPU.
    for kind, factors, outputs in found:
        assert kind == "dot_general" or outputs == factors


@pytest.mark.parametrize("name", ["convnext", "swin", "resnet", "densenet", "efficientnet"])
def test_training_in_bfloat16_keeps_its_products_narrow(name):
    found = products(NETWORKS[name], train=True)
    assert found[0] == (jnp.bfloat16, jnp.bfloat16)
    # ... but for attention's logits and the few numbers of a whole map's mean.
    assert sum(outputs == jnp.bfloat16 for _, outputs in found) > len(found) / 2


@pytest.mark.parametrize("name", ["swin", "convnext"])
def test_training_behind_frozen_stages_keeps_its_products_narrow(name):
    of_maps = {"frozen_stages": 1, "method": "feature_maps"}
    found = operations(NETWORKS[name], train=True, **of_maps)
    narrow = [outputs == jnp.bfloat16 for kind, _, outputs in found if kind == "dot_general"]
    assert sum(narrow) > len(narrow) / 2


def test_an_efficientnet_rounds_no_depthwise_kernel_and_no_narrow_convolution():
    # Both are differences of large numbers: an EfficientNet-Lite0 with its ImageNet weights lost 5
    # percent of its features by them.
    found = products(NETWORKS["efficientnet"], train=False)
    # The head's inputs are many; the expansion's of the second stage are 8, which is few.
    assert [factors for factors, _ in found].count(jnp.bfloat16) == 1
    wide = dataclasses.replace(NETWORKS["efficientnet"], widths=(32, 40))
    assert [factors for factors, _ in products(wide, train=False)].count(jnp.bfloat16) == 2


def test_gradients_of_unrounded_sums_have_the_dtypes_of_what_they_are_of():
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=(4, 4)), jnp.bfloat16) for _ in range(2))
    bias = jnp.asarray(rng.normal(size=4), jnp.float32)
    assert dense(x, kernel, bias).dtype == jnp.float32
    np.testing.assert_allclose(
        dense(x, kernel, bias),
        np.asarray(x, np.float32) @ np.asarray(kernel, np.float32) + bias,
        rtol=1e-5,
        atol=1e-6,
    )
    gradient = jax.jit(jax.grad(lambda *args: jnp.square(dense(*args)).sum(), (0, 1, 2)))
    found = gradient(x, kernel, bias)
    assert [one.dtype for one in found] == [jnp.bfloat16, jnp.bfloat16, jnp.float32]
    exact = [one.astype(jnp.float32) for one in (x, kernel, bias)]
    for ours, its in zip(found, gradient(*exact)):
        np.testing.assert_allclose(ours.astype(jnp.float32), its, rtol=0.02, atol=0.1)
    parts = [one[None, None] for one in (x, kernel, x)]
    assert jax.eval_shape(lambda *args: attend(*args, True), *parts).dtype == jnp.float32
    gradient = jax.grad(lambda *args: attend(*args, True).sum(), (0, 1, 2))
    gradients = jax.eval_shape(gradient, *parts)
    assert {one.dtype for one in gradients} == {np.dtype(jnp.bfloat16)}
