"""facebookresearch's own DINOs give their library's features, or an error.

golden/make_encoders_beit_eva.py made the folders and the features; benchmarks/quality/
encoder_parity.py compares all of them at all sizes, also in bfloat16.
"""

import json

import numpy as np
import pytest

from examine_jax.models.weights import read_network
from tests.support.golden_encoders import (
    GOLDEN,
    arrays,
    copied,
    library_error,
    same_arrays,
    with_configuration,
    with_tensors,
)

SAVED = GOLDEN / "encoders_beit_eva"


@pytest.fixture(scope="module")
def golden():
    return arrays("encoders_beit_eva")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("facebook_dinov2", 16),
        ("facebook_dinov2_registers", 32),
        ("facebook_dinov3_gated", 32),
    ],
)
def test_features_equal_the_source_librarys(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert library_error(network, golden, name, size) <= 1e-5


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("facebook_dinov2", {"layer_norm_eps": 1e-5}),
        ("facebook_dinov3", {"layer_norm_eps": 1e-6}),
    ],
)
def test_a_field_that_the_tensors_do_not_tell_changes_the_network(tmp_path, name, changes):
    folder = copied(SAVED / name, tmp_path)
    with_configuration(folder, **changes)
    assert read_network(folder).encoder != read_network(SAVED / name).encoder


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("facebook_dinov2", {"hidden_size": 32}, "hidden_size is 32"),
        ("facebook_dinov2", {"hidden_act": "silu"}, "hidden_act is 'silu'"),
        ("facebook_dinov2", {"a_new_field": 1}, "a_new_field"),
        ("facebook_dinov3", {"rope_theta": 50.0}, "rope_embed.periods holds other periods"),
        ("facebook_dinov3", {"num_attention_heads": 1}, "rope_embed.periods holds other periods"),
        ("facebook_dinov3", {"use_gated_mlp": True}, "use_gated_mlp"),
    ],
)
def test_a_field_that_the_tensors_gainsay_or_that_is_unknown_is_named(
    tmp_path, name, changes, message
):
    folder = copied(SAVED / name, tmp_path)
    if changes == {"num_attention_heads": 1}:
        (folder / "encoder.json").write_text(json.dumps({"mean": 0.5, "deviation": 0.5}))
    with_configuration(folder, **changes)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


ONES = np.ones((16,), np.float32)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("facebook_dinov2", lambda t: t.pop("blocks.1.1.ls2.gamma"), "lacks.*blocks.1.ls2.gamma"),
        ("facebook_dinov2", lambda t: t.update(pos_embed=np.ones((1, 36, 16))), "36 rows"),
        ("facebook_dinov3", lambda t: t.update({"cls_norm.weight": ONES}), "use: cls_norm.weight"),
        (
            "facebook_dinov3",
            lambda t: t.update({"blocks.0.attn.qkv.bias_mask": np.full(48, 0.5, np.float32)}),
            "blocks.0.attn.qkv.bias_mask is no mask",
        ),
    ],
)
def test_missing_misshapen_and_left_over_tensors_are_named(tmp_path, name, change, message):
    folder = copied(SAVED / name, tmp_path)
    with_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


@pytest.mark.parametrize("name", ["facebook_dinov2", "facebook_dinov3_no_biases"])
def test_what_facebookresearchs_tensors_do_not_tell_is_asked_for(tmp_path, name):
    folder = copied(SAVED / name, tmp_path)
    for description, message in (
        ({"heads": 2}, r"how pixels are normalised.*0\.485"),
        ({"heads": 2, "mean": [0.5] * 2, "deviation": [0.5] * 2}, "takes 3 channels"),
        ({"mean": 0.5, "deviation": 0.5}, r"number of heads is not known.*\"heads\""),
    ):
        (folder / "encoder.json").write_text(json.dumps(description))
        with pytest.raises(ValueError, match=message):
            read_network(folder)
    with pytest.raises(ValueError, match="number of heads is not known"):
        read_network(folder / "model.safetensors")


def test_transformers_configuration_may_stand_beside_facebookresearchs_weights(tmp_path):
    """As in RAD-DINO's folder, whose second file has facebookresearch's names."""
    folder = copied(SAVED / "facebook_dinov2", tmp_path)
    configuration = {"model_type": "dinov2", "architectures": ["Dinov2Model"], "mlp_ratio": 2}
    configuration |= {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    configuration |= {"image_size": 24, "patch_size": 4, "layer_norm_eps": 1e-6, "qkv_bias": True}
    (folder / "config.json").write_text(json.dumps(configuration))
    (folder / "model.safetensors").rename(folder / "backbone_compatible.safetensors")
    description = {"weights": "backbone_compatible.safetensors", "mean": 0.5, "deviation": 0.25}
    description["model_type"] = "facebookresearch_dinov2"
    (folder / "encoder.json").write_text(json.dumps(description))
    network, expected = read_network(folder), read_network(SAVED / "facebook_dinov2")
    assert network.encoder == expected.encoder
    assert same_arrays(network.params, expected.params)
