"""Swin and CTransPath's stem give their libraries' features, or an error.

The networks are golden/make_encoders_swin_sam.py's.
"""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.encoders import load_encoder, save_encoder
from examine_jax.encoders.settings import EncoderUse
from examine_jax.models import SwinConfig
from examine_jax.models.weights import read_network
from tests.support.golden_encoders import (
    GOLDEN,
    arrays,
    copied,
    fields_that_change_nothing,
    library_error,
    relative_error,
    same_arrays,
    with_tensors,
)

SAVED = GOLDEN / "encoders_swin_sam"


@pytest.fixture(scope="module")
def golden():
    return arrays("encoders_swin_sam")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("timm_swin_windows", 40),  # windows of each stage; neither biases nor colours
        ("ctranspath", 40),
        ("swin_unusual", 48),  # positions are resampled
    ],
)
def test_features_equal_the_library_s(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert network.encoder.image_size == size
    assert library_error(network, golden, name, size) < 1e-5


def test_names_that_transformers_has_in_memory_are_read():
    written, in_memory = (
        read_network(SAVED / name) for name in ("swin_unusual", "swin_unusual_in_memory")
    )
    assert same_arrays(written.params, in_memory.params)


def test_a_swin_s_file_alone_is_read_under_the_names_of_older_versions(tmp_path):
    tensors = load_file(SAVED / "timm_swin" / "model.safetensors")
    older = {
        re.sub(
            r"layers\.(\d)\.downsample",
            lambda match: f"layers.{int(match[1]) - 1}.downsample",
            name,
        ).replace("head.fc.", "head."): tensor
        for name, tensor in tensors.items()
    }
    older["layers.0.blocks.1.attn_mask"] = np.ones((16, 9, 9), np.float32)
    older["layers.0.blocks.1.attn.relative_position_index"] = np.ones((9, 9), np.int64)
    save_file(older, tmp_path / "swin.safetensors")
    network = read_network(tmp_path / "swin.safetensors")
    expected = read_network(SAVED / "timm_swin")
    assert same_arrays(network.params, expected.params)
    assert (network.encoder.image_size, network.pixel_mean) == (224, (0.485, 0.456, 0.406))


def test_a_swin_within_a_model_with_a_decoder_is_read(tmp_path):
    folder = copied(SAVED / "swin", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    whole = {f"swin.{name}": tensor for name, tensor in tensors.items()}
    whole |= {"swin.embeddings.mask_token": np.ones((1, 1, 4), "f4")}
    whole |= {"decoder.0.weight": np.ones((3, 16, 1, 1), "f4")}
    save_file(whole, folder / "model.safetensors")
    found, expected = (read_network(path).params for path in (folder, SAVED / "swin"))
    assert same_arrays(found, expected)


@pytest.mark.parametrize(
    ("name", "feature", "message"),
    [("swin", "class_token", "a Swin has no class token")],
)
def test_a_feature_that_the_network_lacks_is_refused(name, feature, message):
    with pytest.raises(ValueError, match=message):
        EncoderUse(feature=feature).load(SAVED / name)


def test_transformers_swin_s_last_map_is_normed_and_its_mean_the_feature(golden):
    network = read_network(SAVED / "swin")
    images = jnp.asarray(golden["images.40"] / np.float32(255))
    run = functools.partial(network.encoder.module().apply, method="feature_maps")
    maps = jax.jit(run)({"params": network.params}, images)
    assert {stride: part.shape[1:] for stride, part in maps.items()} == {
        4: (10, 10, 4),
        8: (5, 5, 8),
        16: (3, 3, 16),
    }
    assert relative_error(np.asarray(maps[16].mean(axis=(1, 2))), golden["swin.40"]) < 1e-5


@pytest.mark.parametrize("name", ["ctranspath"])
def test_an_imported_encoder_is_saved_and_read_again(tmp_path, name):
    encoder = load_encoder(SAVED / name)
    save_encoder(tmp_path / name, encoder.method, encoder.params, encoder.state)
    again = load_encoder(tmp_path / name)
    assert again.method == encoder.method
    stored = (encoder.params, encoder.state)
    assert same_arrays((again.params, again.state), stored)


def test_a_name_of_timm_s_older_versions_is_known(tmp_path):
    folder = copied(SAVED / "timm_swin", tmp_path)
    older = "swin_base_patch4_window7_224_in22k"
    (folder / "encoder.json").write_text(json.dumps({"architecture": older}))
    assert read_network(folder).encoder == read_network(SAVED / "timm_swin").encoder


def test_a_convolutional_stem_updates_its_statistics_in_training():
    network = read_network(SAVED / "ctranspath")
    variables = {"params": network.params, "batch_stats": network.batch_stats}
    _, changed = jax.eval_shape(
        lambda x: network.encoder.module().apply(variables, x, train=True, mutable=["batch_stats"]),
        jnp.zeros((2, 40, 40, 3)),
    )
    assert set(changed["batch_stats"]) == {"stem_batch_norm_0", "stem_batch_norm_1"}


# Fields that change no feature of the source library either, or follow from others.
WITHOUT_EFFECT = {
    *("architectures", "dtype", "transformers_version", "initializer_range", "drop_path_rate"),
    *("out_features", "out_indices", "stage_names", "encoder_stride", "hidden_dropout_prob"),
    "attention_probs_dropout_prob",
    "pretrained_cfg.input_size",  # img_size goes before it
}
# A larger window is cut to the map in timm too.
NOT_READ = {"timm_swin_windows": {"model_args.window_size"}}


@pytest.mark.parametrize("name", ["timm_swin_windows", "swin", "swin_unusual"])
def test_every_field_changes_the_network_or_is_refused(tmp_path, name):
    without_effect = WITHOUT_EFFECT | NOT_READ.get(name, set())
    assert not fields_that_change_nothing(copied(SAVED / name, tmp_path), without_effect)


@pytest.mark.parametrize(
    ("name", "description", "message"),
    [
        ("swin", {"configuration": {"new_field": 2}}, "the field new_field"),
        ("swin", {"model_type": "swinv2"}, "model_type is 'swinv2'; what can be read"),
        ("swin", {"configuration": {"architectures": ["Swinv2Model"]}}, "names Swinv2Model"),
        ("swin", {"image_size": 32}, "stage 3 is 2 x 2, smaller than its window of 3; take .* 36"),
        ("swin", {"image_size": 50}, "image_size 50 must be a multiple of patch_size 4"),
        ("swin", {"pixel_range": "image"}, "which only SAM's encoders take"),
        ("swin", {"feature": "neck_mean"}, "a Swin has one feature alone"),
        ("timm_swin", {"architecture": "swinv2_tiny_window8_256"}, "'swinv2_tiny_window8_256'"),
        (
            "timm_swin",
            {"configuration": {"model_args": {"always_partition": True}}},
            "always_partition",
        ),
        ("timm_swin", {"configuration": {"model_args": {"head_dim": 4}}}, "has head_dim"),
        ("timm_swin", {"configuration": {"global_pool": "max"}}, "global_pool is 'max'"),
        ("timm_swin", {"configuration": {"model_args": {"window_size": 5}}}, "window_size 5"),
        ("timm_swin", {"configuration": {"model_args": {"window_size": [3, 3]}}}, "one number a"),
        ("timm_swin", {"image_size": 24}, "smaller than its window of 3"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, name, description, message):
    folder = copied(SAVED / name, tmp_path)
    (folder / "encoder.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=message):
        read_network(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("swin", lambda t: t.pop("layernorm.weight"), "lacks the tensor norm.weight"),
        ("timm_swin", lambda t: t.pop("patch_embed.norm.bias"), "patch_embed.norm.bias"),
        (
            "timm_swin",
            lambda t: t.update({"layers.0.blocks.0.attn.logit_scale": np.ones(2, np.float32)}),
            "does not use: layers.0.blocks.0.attn.logit_scale",
        ),
        (
            "timm_swin",
            lambda t: t.update(
                {"layers.0.blocks.0.attn.relative_position_bias_table": np.ones((24, 1), "f4")}
            ),
            "has 24 rows; a window of side w",
        ),
        ("ctranspath", lambda t: t.pop("patch_embed.proj.4.running_var"), "proj.4.running_var"),
    ],
)
def test_a_tensor_that_is_missing_or_left_over_is_named(tmp_path, name, change, message):
    folder = copied(SAVED / name, tmp_path)
    with_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (SwinConfig, {"image_size": 224, "depths": (2, 2)}, "one number for each stage"),
        (SwinConfig, {"image_size": 224, "heads": (5, 6, 12, 24)}, "5 heads do not divide"),
        (SwinConfig, {"image_size": 224, "mlp": "swiglu"}, "mlp must be one of"),
        (SwinConfig, {"image_size": 222, "stem": "convolutions", "patch_size": 2}, "patch_size of"),
        (SwinConfig, {"image_size": 0}, "image_size must be at least 1"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(config, fields, message):
    with pytest.raises(ValueError, match=message):
        config(**fields)
