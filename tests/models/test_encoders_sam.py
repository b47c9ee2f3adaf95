"""SAM and MedSAM give their libraries' features, or an error.

The networks are golden/make_encoders_swin_sam.py's.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.encoders import load_encoder, save_encoder
from examine_jax.encoders.settings import EncoderUse
from examine_jax.models import SAMConfig, sam
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
        ("sam_vision_unusual", 40),
        ("timm_sam", 48),  # both kinds of positions are resampled
    ],
)
def test_features_equal_the_library_s(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert network.encoder.image_size == size
    assert library_error(network, golden, name, size) < 1e-5


def under_metas_names(tensors):
    renamed = {}
    for name, tensor in tensors.items():
        for theirs, metas in (
            ("vision_encoder.", "image_encoder."),
            (".layers.", ".blocks."),
            ("projection", "proj"),
            ("neck.conv1", "neck.0"),
            ("neck.layer_norm1", "neck.1"),
            ("neck.conv2", "neck.2"),
            ("neck.layer_norm2", "neck.3"),
            ("layer_norm", "norm"),
        ):
            name = name.replace(theirs, metas) if name.startswith(("vis", "image")) else name
        renamed[name] = tensor
    return renamed


@pytest.fixture
def medsam(tmp_path):
    """The folder of a MedSAM under Meta's names, without a configuration."""
    tensors = under_metas_names(load_file(SAVED / "sam" / "model.safetensors"))
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "encoder.json").write_text('{"known": "medsam", "image_size": 40}')
    return tmp_path


def test_medsam_stretches_each_image_s_pixels(golden, medsam, monkeypatch):
    monkeypatch.setattr(sam, "_USUAL_PATCHES", 100)
    speeds = []
    encoder = load_encoder(medsam)
    assert encoder.training["known_encoder"] == "medsam"
    assert encoder.method.encoder.heads == 2
    expected = read_network(SAVED / "sam").params
    assert same_arrays(encoder.params["encoder"], expected)
    found = encoder.embed(golden["medsam.images"], on_speed=speeds.append)
    assert speeds[0].batch_size == 1
    assert relative_error(found, golden["medsam.40"]) < 1e-5


def test_sam_takes_few_large_images_at_once():
    assert [SAMConfig(image_size=size).images_at_once for size in (1024, 512, 224)] == [3, 12, 64]
    assert SAMConfig(image_size=16384).images_at_once == 1


def test_encoder_json_asks_for_medsam_s_pixels(tmp_path):
    folder = copied(SAVED / "sam", tmp_path)
    described = {"pixel_range": "image", "mean": 0.0, "deviation": 1.0}
    (folder / "encoder.json").write_text(json.dumps(described))
    network = read_network(folder)
    assert network.encoder.pixel_range == "image"
    assert (network.pixel_mean, network.pixel_deviation) == ((0.0,), (1.0,))
    # The folder's own normalisation goes before what the table knows.
    (folder / "encoder.json").write_text('{"known": "medsam", "image_size": 40}')
    settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    network = read_network(folder)
    assert (network.encoder.pixel_range, network.pixel_mean) == ("given", (0.1, 0.2, 0.3))


def test_a_constant_image_is_stretched_to_zeros():
    images = jnp.full((1, 2, 2, 3), 0.5)
    assert not np.any(sam._stretched(images))


def test_sam_s_file_alone_may_be_medsam_s(medsam):
    with pytest.raises(ValueError, match=r'"known": "sam-vit-b"} or {"known": "medsam"'):
        read_network(medsam / "model.safetensors")


def test_tokens_of_sam_s_blocks(golden):
    encoder = load_encoder(SAVED / "sam").with_readout("patch_mean", (1, 2))
    images = jnp.asarray(golden["images.40"] / np.float32(255))
    run = jax.jit(lambda params: encoder.readout(encoder.method.encoder, params, {}, images))
    found = run(encoder.params["encoder"])
    expected = golden["sam.blocks"].mean(axis=(2, 3))
    assert relative_error(np.asarray(found), np.concatenate(expected, axis=-1)) < 1e-5


@pytest.mark.parametrize("way", ["flag", "encoder.json"])
def test_another_feature_of_sam_leaves_the_neck_out(tmp_path, way):
    folder, use = copied(SAVED / "sam", tmp_path), EncoderUse(feature="patch_mean")
    if way == "encoder.json":
        (folder / "encoder.json").write_text('{"feature": "patch_mean"}')
        use = EncoderUse()
    encoder = use.load(folder)
    assert encoder.method.encoder.features == 16
    assert "neck" not in encoder.params["encoder"]
    shape = jax.eval_shape(
        encoder.method.embed, encoder.params, encoder.state, np.zeros((1, 40, 40, 3), np.uint8)
    )
    assert shape.shape == (1, 16)


@pytest.mark.parametrize(
    ("name", "feature", "message"),
    [
        ("sam", "class_token", "no class token"),
        ("sam", "class_and_mean", "no class token"),
    ],
)
def test_a_feature_that_the_network_lacks_is_refused(name, feature, message):
    with pytest.raises(ValueError, match=message):
        EncoderUse(feature=feature).load(SAVED / name)


def test_a_large_map_s_rows_attend_one_after_another(monkeypatch):
    attention = sam.MapAttention(2, 3, True, True, jnp.float32)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 1, 9, 4)), jnp.float32)
    variables = jax.jit(attention.init)(jax.random.key(0), x)
    expected = jax.jit(attention.apply)(variables, x)
    monkeypatch.setattr(sam, "_LARGE", 1)
    found = jax.jit(lambda *given: attention.apply(*given))(variables, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sam"])
def test_an_imported_encoder_is_saved_and_read_again(tmp_path, name):
    encoder = load_encoder(SAVED / name)
    save_encoder(tmp_path / name, encoder.method, encoder.params, encoder.state)
    again = load_encoder(tmp_path / name)
    assert again.method == encoder.method
    stored = (encoder.params, encoder.state)
    assert same_arrays((again.params, again.state), stored)


# Fields that change no feature of the source library either, or follow from others.
WITHOUT_EFFECT = {
    *("architectures", "dtype", "transformers_version", "initializer_range", "attention_dropout"),
    *("num_pos_feats", "scale", "prompt_encoder_config", "mask_decoder_config"),
    "tie_word_embeddings",
    "pretrained_cfg.input_size",  # img_size goes before it
}
# mlp_dim goes before mlp_ratio.
NOT_READ = {
    "sam": {"vision_config.mlp_ratio", "vision_config.model_type"},
    "sam_vision_unusual": {"mlp_ratio"},
}


@pytest.mark.parametrize("name", ["sam", "sam_vision_unusual", "timm_sam"])
def test_every_field_changes_the_network_or_is_refused(tmp_path, name):
    without_effect = WITHOUT_EFFECT | NOT_READ.get(name, set())
    assert not fields_that_change_nothing(copied(SAVED / name, tmp_path), without_effect)


@pytest.mark.parametrize(
    ("name", "description", "message"),
    [
        ("sam", {"image_size": 48}, "takes 40 x 40 pixels alone"),
        ("sam", {"configuration": {"vision_config": 3}}, "vision_config is 3"),
        ("sam", {"configuration": {"vision_config": {"new_field": 2}}}, "the field new_field"),
        ("sam", {"model_type": "sam_hq"}, "model_type is 'sam_hq'; what can be read"),
        ("sam", {"configuration": {"architectures": ["SamHQModel"]}}, "names SamHQModel"),
        ("sam", {"pixel_range": "all"}, "pixel_range is 'all'; it must be one of given, image"),
        ("sam", {"feature": "attention"}, "neither a class token nor an attention pooling"),
        ("timm_sam", {"image_size": 42}, "image_size 42 must be a multiple of patch_size 4"),
        ("timm_sam", {"configuration": {"model_args": {"use_rope": True}}}, "use_rope"),
        (
            "sam_vision_unusual",
            {"configuration": {"num_attention_heads": None}},
            "heads is None; .* the tensors do not tell it",
        ),
        (
            "sam_vision_unusual",
            {"configuration": {"global_attn_indexes": [7]}},
            r"global_blocks \(7,\) must be numbers from 0 to 1",
        ),
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
        ("sam", lambda t: t.pop("vision_encoder.layers.1.attn.rel_pos_w"), "rel_pos_w"),
        ("sam", lambda t: t.pop("vision_encoder.neck.conv2.weight"), "neck.2.weight"),
        (
            "sam",
            lambda t: t.update({"vision_encoder.layers.0.extra": np.ones(2, np.float32)}),
            "does not use: blocks.0.extra",
        ),
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
        (SAMConfig, {"global_blocks": (12,)}, "global_blocks"),
        (SAMConfig, {"heads": 7}, "7 heads do not divide"),
        (SAMConfig, {"image_size": 1000}, "multiple of patch_size"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(config, fields, message):
    with pytest.raises(ValueError, match=message):
        config(**fields)
