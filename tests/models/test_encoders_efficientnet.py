"""EfficientNets of four libraries give their features, or an error.

The networks are golden/make_encoders_convolutional.py's.
"""

import dataclasses
import json

import numpy as np
import pytest

from examine_jax.models.efficientnet import EfficientNetConfig
from examine_jax.models.weights import read_network
from tests.support.convolutional_encoders import library_error, networks, tensors, write


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("timm_efficientnet", 40),
        ("timm_efficientnet_tf", 40),
        ("timm_efficientnet_lite", 40),
        ("torchvision_efficientnet", 40),
        ("efficientnet_pytorch", 33),
        ("efficientnet", 64),
    ],
)
def test_features_equal_the_library_s(tmp_path, name, size):
    network = read_network(write(tmp_path, name), image_size=size)
    assert library_error(network, name, size) < 1e-5


def test_padding_and_epsilon_change_the_features(tmp_path):
    """Nothing in the tensors tells them; timm's name does."""
    network = read_network(write(tmp_path, "timm_efficientnet"))
    other = read_network(write(tmp_path, "timm_efficientnet_tf")).encoder
    assert (network.encoder.padding, other.padding) == ("half", "same")
    changed = dataclasses.replace(network, encoder=other)
    assert library_error(changed, "timm_efficientnet", 40) > 1e-4


def test_the_map_before_the_pooling_is_the_last_of_five():
    config = EfficientNetConfig(image_size=64)
    assert config.strides == (2, 4, 8, 16, 32)
    assert config.map_widths == (16, 24, 40, 112, 1280)
    assert config.features == 1280


def test_pixels_are_divided_twice_where_transformers_does_it(tmp_path):
    network = read_network(write(tmp_path, "efficientnet"))
    pixels = np.array([[0.0] * 3, [1.0] * 3])
    ours = (pixels - network.pixel_mean) / network.pixel_deviation
    mean, deviation = np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.5, 0.6])
    theirs = ((pixels * 255 / 127.5 - 1) - mean) / deviation / deviation
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    folder = tmp_path / "efficientnet"
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": False, "include_top": True, "image_std": [0.5] * 3})
    )
    network = read_network(folder)
    assert (network.pixel_mean, network.pixel_deviation) == ((0.0,) * 3, (0.5,) * 3)


def test_a_file_alone_has_its_library_s_pixels(tmp_path):
    network = read_network(write(tmp_path, "efficientnet_pytorch"))
    assert network.encoder.activation == "silu"
    assert network.pixel_mean == (0.485, 0.456, 0.406)
    lite = {
        name: array for name, array in tensors("efficientnet_pytorch").items() if "_se_" not in name
    }
    network = read_network(write(tmp_path, "efficientnet_pytorch", lite))
    assert (network.encoder.activation, network.encoder.squeeze) == ("relu6", None)
    assert network.pixel_mean == (127 / 255,) * 3


def summary(network):
    return network.encoder, network.pixel_mean, network.pixel_deviation


def test_every_field_of_transformers_changes_the_network_or_is_refused(tmp_path):
    original = summary(read_network(write(tmp_path, "efficientnet")))
    configuration = networks()["efficientnet"]["files"]["config.json"]
    seen = 0
    for name in (
        *("width_coefficient", "depth_coefficient", "depth_divisor", "kernel_sizes", "in_channels"),
        *("out_channels", "depthwise_padding", "strides", "num_block_repeats", "expand_ratios"),
        *("squeeze_expansion_ratio", "hidden_act", "hidden_dim", "pooling_type", "batch_norm_eps"),
        *("image_size", "num_channels", "model_type"),
    ):
        value = configuration[name]
        if isinstance(value, list):
            others = [[*value[:-1], value[-1] * 4], [], "x"]
        elif isinstance(value, str):
            others = ["gelu", 3]
        else:
            others = [value * 2, -1, "x"]
        for other in others:
            try:
                found = summary(read_network(write(tmp_path, "efficientnet", **{name: other})))
            except ValueError:
                seen += 1
                continue
            assert found != original, f"{name} = {other!r} changes nothing"
    assert seen > 20


@pytest.mark.parametrize(
    ("name", "configuration", "message"),
    [
        ("efficientnet", {"pooling_type": "max"}, "pooling_type is 'max'"),
        ("efficientnet", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ("efficientnet", {"strides": [1, 2, 2, 2, 1, 3, 1]}, "stage_strides"),
        ("efficientnet", {"new_field": 2}, "the field new_field"),
        ("efficientnet", {"kernel_sizes": [3, 3]}, "one number for each stage"),
        ("timm_efficientnet", {"architecture": "efficientnet_b0_gn"}, "has other blocks, norms"),
        ("timm_efficientnet", {"architecture": "tf_efficientnetv2_s"}, "has other blocks, norms"),
        (
            "timm_efficientnet",
            {"architecture": "efficientnet_lite0"},
            "squeeze and excitation",
        ),
        ("timm_efficientnet", {"model_args": {"pad_type": "same"}}, "model_args has pad_type"),
        ("timm_efficientnet", {"model_args": {"in_chans": 1}}, "in_chans is 1"),
        ("timm_efficientnet", {"global_pool": "max"}, "global_pool is 'max'"),
        ("timm_efficientnet", {"pretrained_cfg": {}}, "pretrained_cfg has no mean and std"),
        ("timm_efficientnet", {"model_args": {"bn_eps": "x"}}, "bn_eps is 'x'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, name, configuration, message):
    with pytest.raises(ValueError, match=message):
        read_network(write(tmp_path, name, **configuration))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("timm_efficientnet", lambda t: t.pop("blocks.3.1.bn2.running_var"), "bn2.running_var"),
        ("timm_efficientnet", lambda t: t.pop("conv_stem.weight"), "lacks the tensor conv_stem"),
        (
            "timm_efficientnet",
            lambda t: t.update({"blocks.0.0.extra": np.ones(2, np.float32)}),
            "does not use: blocks.0.0.extra",
        ),
        (
            "torchvision_efficientnet",
            lambda t: t.update(
                {"features.1.0.block.0.0.weight": np.ones((8, 8, 3, 3), np.float32)}
            ),
            "V2 is another",
        ),
        (
            "timm_efficientnet",
            lambda t: [t.pop(name) for name in list(t) if name.startswith("blocks.6")],
            "has 6 stages",
        ),
    ],
)
def test_a_tensor_that_is_missing_or_left_over_is_named(tmp_path, name, change, message):
    changed = tensors(name)
    change(changed)
    with pytest.raises(ValueError, match=message):
        read_network(write(tmp_path, name, changed))


def test_timm_s_tensors_alone_do_not_tell_the_padding(tmp_path):
    folder = write(tmp_path, "timm_efficientnet")
    with pytest.raises(ValueError, match="do not tell how it pads images"):
        read_network(folder / "model.safetensors")


def test_efficientnet_pytorch_s_names_belong_to_tensorflow_s_padding(tmp_path):
    file = write(tmp_path, "efficientnet_pytorch")
    described = {"architecture": "efficientnet_b0", "mean": 0.5, "deviation": 0.5}
    (file.parent / "encoder.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match='"architecture": "tf_efficientnet_b0"'):
        read_network(file.parent)
    described["architecture"] = "tf_efficientnet_b0"
    (file.parent / "encoder.json").write_text(json.dumps(described))
    assert read_network(file.parent).encoder.padding == "same"
