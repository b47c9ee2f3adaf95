"""DenseNets, ResNet's variants and DINOv3's ConvNeXts give their libraries' features, or an error.

The networks are golden/make_encoders_convolutional.py's.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models import (
    DenseNetConfig,
    EfficientNetConfig,
    ResNetConfig,
    ResNetVariant,
    depthwise,
    init_network,
    run_network,
)
from examine_jax.models.convolution import convolve
from examine_jax.models.layer_numbers import layer_numbers
from examine_jax.models.weights import read_network
from tests.support.convolutional_encoders import library_error, networks, tensors, write
from tests.support.golden_encoders import same_arrays


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet_d", 33),
        ("resnext", 33),
        ("seresnext_t", 33),
        ("seresnet", 33),
        ("wide_resnet", 33),
        ("timm_densenet", 64),
        ("torchvision_densenet", 64),
        ("timm_dinov3_convnext", 40),
        ("dinov3_convnext", 40),
    ],
)
def test_features_equal_the_library_s(tmp_path, name, size):
    network = read_network(write(tmp_path, name), image_size=size)
    assert library_error(network, name, size) < 1e-5


def test_what_tells_a_variant():
    parts = ResNetVariant(4, 16, (8, 8), 16, True, True)
    config = ResNetConfig(
        image_size=32, channels=3, block="bottleneck", depths=(1, 1), width=8, variant=parts
    )
    assert (config.features, config.inner_width(1), config.stem_width) == (64, 32, 16)
    for changes, message in (
        ({"block": "basic"}, "belong to block='bottleneck'"),
        ({"variant": ResNetVariant(groups=3)}, "groups 3 do not divide"),
        ({"variant": ResNetVariant(deep_stem=(8, 8)), "stem": "small_image"}, "deep_stem belongs"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(config, **changes)
    with pytest.raises(ValueError, match="divide inner_width"):
        ResNetVariant(groups=3, inner_width=16)


def test_a_torchxrayvision_file_needs_its_pixels(tmp_path):
    folder = write(tmp_path, "torchxrayvision_densenet")
    with pytest.raises(ValueError, match="images of 1 channels, and nothing says"):
        read_network(folder / "model.safetensors")
    network = read_network(folder, image_size=64)
    pixels = np.array([0.0, 0.25, 1.0])
    scaled = (pixels - network.pixel_mean[0]) / network.pixel_deviation[0]
    np.testing.assert_allclose(scaled, (2 * pixels - 1) * 1024)
    assert network.known == "torchxrayvision"
    assert library_error(network, "torchxrayvision_densenet", 64) < 1e-5


@pytest.mark.parametrize("name", ["resnext", "resnet_d"])
def test_a_resnet_of_one_channel_needs_its_pixels(tmp_path, name):
    stored = tensors(name)
    stem = "conv1.weight" if name == "resnext" else "conv1.0.weight"
    folder = write(tmp_path, name, stored | {stem: np.ascontiguousarray(stored[stem][:, :1])})
    with pytest.raises(ValueError, match="nothing says how"):
        read_network(folder / "model.safetensors")
    (folder / "config.json").unlink()
    architecture = networks()[name]["files"]["config.json"]["architecture"]
    described = {"architecture": architecture}
    (folder / "encoder.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="nothing says how"):
        read_network(folder)
    described |= {"mean": 0.5, "deviation": 0.25}
    (folder / "encoder.json").write_text(json.dumps(described))
    network = read_network(folder)
    assert (network.pixel_mean, network.pixel_deviation) == ((0.5,), (0.25,))


@pytest.mark.parametrize(
    ("name", "stem", "architecture"),
    [
        ("torchvision_efficientnet", "features.0.0.weight", None),
        ("efficientnet_pytorch", "_conv_stem.weight", "tf_efficientnet_b0"),
        ("timm_dinov3_convnext", "stem.0.weight", "convnext_tiny"),
    ],
)
def test_others_of_one_channel_need_their_pixels_too(tmp_path, name, stem, architecture):
    stored = tensors(name)
    one = stored | {stem: np.ascontiguousarray(stored[stem][:, :1])}
    file = write(tmp_path, name, one)
    folder = file.parent if file.is_file() else file
    with pytest.raises(ValueError, match=r"pixels .*normalised.*encoder.json"):
        read_network(folder / "model.safetensors")
    if architecture is None:
        return
    (folder / "config.json").unlink(missing_ok=True)
    described = {"architecture": architecture, "mean": 0.5, "deviation": 0.25}
    (folder / "encoder.json").write_text(json.dumps(described))
    network = read_network(folder)
    assert (network.pixel_mean, network.pixel_deviation) == ((0.5,), (0.25,))


def test_radimagenet_s_names_are_torchvision_s_and_need_their_pixels(tmp_path):
    expected = read_network(write(tmp_path, "resnext"))
    numbered = {"conv1": "0", "bn1": "1", **{f"layer{i}": f"{i + 3}" for i in (1, 2, 3, 4)}}
    stored = {}
    for name, array in tensors("resnext").items():
        first, rest = name.split(".", 1)
        if first in numbered:
            stored[f"backbone.{numbered[first]}.{rest}"] = array
    folder = write(tmp_path, "resnext", stored)
    assert library_error(read_network(folder), "resnext", 33) < 1e-5
    with pytest.raises(ValueError, match="RadImageNet's names"):
        read_network(folder / "model.safetensors")
    (folder / "config.json").unlink()
    described = {"architecture": networks()["resnext"]["files"]["config.json"]["architecture"]}
    (folder / "encoder.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match=r"encoder\.json: pretrained_cfg has no mean and std"):
        read_network(folder)
    (folder / "encoder.json").write_text(json.dumps(described | {"mean": 0.5, "deviation": 0.5}))
    network = read_network(folder)
    assert network.pixel_mean == (0.5,)
    assert same_arrays(network.params, expected.params)


def test_torchvision_s_first_names_are_those_of_today(tmp_path):
    file = write(tmp_path, "torchvision_densenet")
    expected = read_network(file)
    old = {}
    for name, array in tensors("torchvision_densenet").items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")
        old[name] = array
    found = read_network(write(tmp_path, "torchvision_densenet", old))
    assert same_arrays(found.params, expected.params)


def test_meta_s_names_of_dinov3_are_timm_s(tmp_path):
    expected = read_network(write(tmp_path, "timm_dinov3_convnext")).params
    facebook = {}
    for name, array in tensors("timm_dinov3_convnext").items():
        for old, new in (
            ("stem.", "downsample_layers.0."),
            *((f"stages.{i}.downsample.", f"downsample_layers.{i}.") for i in (1, 2, 3)),
            (".blocks.", "."),
            ("conv_dw", "dwconv"),
            ("mlp.fc", "pwconv"),
            ("head.norm", "norm"),
        ):
            name = name.replace(old, new)
        facebook[name] = array
    facebook |= {f"norms.3.{part}": facebook[f"norm.{part}"] for part in ("weight", "bias")}
    folder = write(tmp_path, "timm_dinov3_convnext", facebook)
    found = read_network(folder / "model.safetensors").params
    assert same_arrays(found, expected)


@pytest.mark.parametrize(
    ("name", "configuration", "message"),
    [
        ("resnet_d", {"architecture": "resnetblur50d"}, "another stem, other blocks"),
        ("resnet_d", {"architecture": "resnetaa50d"}, "another stem, other blocks"),
        ("resnet_d", {"architecture": "resnetrs50"}, "another stem, other blocks"),
        ("resnet_d", {"architecture": "ecaresnet50d"}, "another stem, other blocks"),
        ("resnet_d", {"architecture": "resnet50_gn"}, "another stem, other blocks"),
        ("resnet_d", {"architecture": "resnext26ts"}, "another stem, other blocks"),
        ("resnet_d", {"model_args": {"avg_down": False}}, "avg_down is False"),
        ("resnet_d", {"model_args": {"stem_type": "deep_tiered"}}, "stem_type is 'deep_tiered'"),
        ("resnet_d", {"model_args": {"stem_width": 16}}, "stem_width is 16"),
        ("resnet_d", {"model_args": {"aa_layer": "blurpool"}}, "model_args has aa_layer"),
        ("resnext", {"model_args": {"cardinality": 32}}, "cardinality is 32"),
        ("resnext", {"model_args": {"base_width": 32}}, "base_width is 32"),
        ("resnext", {"model_args": {"output_stride": 8}}, "model_args has output_stride"),
        ("timm_densenet", {"architecture": "densenetblur121d"}, "another stem or blurs"),
        ("timm_densenet", {"architecture": "densenet264d"}, "another stem or blurs"),
        ("timm_densenet", {"model_args": {"growth_rate": 32}}, "growth_rate is 32"),
        ("timm_densenet", {"model_args": {"block_config": [6, 12, 24, 16]}}, "block_config is"),
        ("timm_densenet", {"model_args": {"stem_type": "deep"}}, "model_args has stem_type"),
        ("timm_densenet", {"model_args": {"act_layer": "elu"}}, "model_args has act_layer"),
        ("timm_densenet", {"global_pool": "max"}, "global_pool is 'max'"),
        ("dinov3_convnext", {"hidden_act": "tanh"}, "hidden_act is 'tanh'"),
        ("dinov3_convnext", {"depths": [1, 1]}, r"depths is \[1, 1\], the tensors"),
        ("dinov3_convnext", {"hidden_sizes": [8, 8]}, r"hidden_sizes is \[8, 8\], the tensors"),
        ("dinov3_convnext", {"num_channels": 1}, "num_channels is 1"),
        ("dinov3_convnext", {"new_field": 1}, "the field new_field"),
        ("dinov3_convnext", {"layer_norm_eps": "x"}, "layer_norm_eps is 'x'"),
        ("dinov3_convnext", {"architectures": ["ViTModel"]}, "architectures names ViTModel"),
        ("timm_dinov3_convnext", {"model_args": {"norm_eps": -1}}, "norm_eps is -1"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, name, configuration, message):
    with pytest.raises(ValueError, match=message):
        read_network(write(tmp_path, name, **configuration))


def test_an_epsilon_of_dinov3_is_that_of_all_norms(tmp_path):
    encoder = read_network(write(tmp_path, "dinov3_convnext")).encoder
    assert (encoder.layer_norm_epsilon, encoder.head_epsilon) == (1e-3, 1e-3)
    encoder = read_network(write(tmp_path, "dinov3_convnext", layer_norm_eps=1e-2)).encoder
    assert (encoder.layer_norm_epsilon, encoder.head_epsilon) == (1e-2, 1e-2)


def extra(name):
    return lambda stored: stored.update({name: np.ones(2, np.float32)})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("resnet_d", lambda t: t.pop("conv1.3.weight"), "conv1.3.weight"),
        ("resnet_d", lambda t: t.pop("layer2.0.downsample.2.bias"), "layer2.0.downsample.2.bias"),
        ("resnet_d", extra("layer1.0.bn4.weight"), "does not use: layer1.0.bn4.weight"),
        ("seresnet", lambda t: t.pop("layer2.1.se.fc2.bias"), "layer2.1.se.fc2.bias"),
        ("timm_densenet", lambda t: t.pop("features.norm5.weight"), "features.norm5.weight"),
        ("timm_densenet", lambda t: t.pop("features.transition2.conv.weight"), "transition2.conv"),
        ("timm_densenet", extra("features.norm6.weight"), "does not use: features.norm6"),
        (
            "timm_densenet",
            lambda t: t.update({"features.conv0.weight": np.ones((16, 3, 3, 3), np.float32)}),
            "only the stem of 7 x 7",
        ),
        (
            "timm_densenet",
            lambda t: [t.pop(name) for name in list(t) if "denselayer" in name],
            "lacks the tensor features.denseblock1",
        ),
    ],
)
def test_a_tensor_that_is_missing_or_left_over_is_named(tmp_path, name, change, message):
    changed = tensors(name)
    change(changed)
    with pytest.raises(ValueError, match=message):
        read_network(write(tmp_path, name, changed))


def test_groups_of_a_convolution_do_not_mix():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1, 5, 4, 6)).astype(np.float32)
    kernel = generator.normal(size=(3, 3, 3, 4)).astype(np.float32)
    found = convolve(jnp.asarray(x), jnp.asarray(kernel), 1, None, 2)
    halves = [
        convolve(jnp.asarray(x[..., part]), jnp.asarray(kernel[..., outputs]))
        for part, outputs in ((slice(3), slice(2)), (slice(3, 6), slice(2, 4)))
    ]
    np.testing.assert_allclose(found, np.concatenate(halves, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        DenseNetConfig(image_size=16, depths=(1, 1), growth=4, stem_width=8),
        EfficientNetConfig(
            image_size=16,
            stem_width=8,
            depths=(1,),
            widths=(8,),
            kernels=(5,),
            expansions=(2,),
            stage_strides=(2,),
            head_width=10,
        ),
    ],
)
def test_a_network_trains_and_its_batch_norms_are_state(config):
    generator = np.random.default_rng(0)
    images = jnp.asarray(generator.normal(size=(4, 16, 16, 3)), jnp.float32)
    module = config.module()
    shapes = jax.eval_shape(lambda key: init_network(module, key, images), jax.random.key(0))
    params, stats = jax.tree.map(
        lambda leaf: jnp.asarray(generator.uniform(0.1, 0.5, leaf.shape), jnp.float32), shapes
    )

    def loss(params):
        features, changed = run_network(module, params, stats, images, train=True)
        return jnp.sin(features).sum(), (features, changed)

    gradients, (features, changed) = jax.jit(jax.grad(loss, has_aux=True))(params)
    assert features.shape == (4, config.features) == (4, 10)
    assert jax.tree.structure(stats) == jax.tree.structure(changed)
    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), path
        assert np.any(gradient != 0), path
    if isinstance(config, DenseNetConfig):  # padded as torch does
        seen = convolve(images, params["stem"]["kernel"], 2)
        mean = 0.9 * stats["stem_norm"]["mean"] + 0.1 * np.asarray(seen).mean(axis=(0, 1, 2))
        np.testing.assert_allclose(changed["stem_norm"]["mean"], mean, rtol=1e-4)
    numbers, last = layer_numbers({"encoder": params})
    assert (numbers["encoder"]["stem"]["kernel"], last) == (0, sum(config.depths) + 1)


def test_a_large_depthwise_convolution_with_a_stride_is_a_sum_of_shifted_images():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1, 12, 11, 64)).astype(np.float32)
    kernel = generator.normal(size=(5, 5, 1, 64)).astype(np.float32)
    padding = ((1, 2), (2, 2))
    assert x.size >= depthwise._LARGE
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))[:, ::2, ::2]
    expected = np.einsum("brcwij,ijw->brcw", windows, kernel[:, :, 0])

    def run(function):
        def summed(x, kernel):
            found = function(x, kernel)
            return jnp.sin(found).sum(), found

        gradients, found = jax.jit(jax.grad(summed, argnums=(0, 1), has_aux=True))(x, kernel)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        return gradients

    shifted = run(lambda x, kernel: depthwise.depthwise(x, kernel, 2, padding))
    grouped = run(lambda x, kernel: depthwise._of_groups(x, kernel, 2, padding))
    for one, other in zip(shifted, grouped, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
