"""Swin, CTransPath's stem and SAM give their libraries' features, or an error.

The networks are golden/make_encoders_swin_sam.py's.
"""

import functools
import json
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.encoders import load_encoder, save_encoder
from examine_jax.encoders.settings import EncoderUse
from examine_jax.models import SAMConfig, SwinConfig, sam
from examine_jax.models.weights import read_network

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
SAVED = GOLDEN / "encoders_swin_sam"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "encoders_swin_sam.npz") as file:
        return {name: file[name] for name in file.files}


@functools.partial(jax.jit, static_argnums=0)
def features(encoder, params, batch_stats, images):
    variables = {"params": params, "batch_stats": batch_stats}
    return encoder.module().apply(variables, images, train=False)


def relative_error(actual, expected):
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("timm_swin_windows", 40),  # windows of each stage; neither biases nor colours
        ("ctranspath", 40),
        ("swin_unusual", 48),  # positions are resampled
        ("sam_vision_unusual", 40),
        ("timm_sam", 48),  # both kinds of positions are resampled
    ],
)
def test_features_equal_the_library_s(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert network.encoder.image_size == size
    pixels = golden[f"images.{size}"][..., : network.encoder.channels] / np.float32(255)
    found = features(network.encoder, network.params, network.batch_stats, pixels)
    assert relative_error(found, golden[f"{name}.{size}"]) < 1e-5


def test_names_that_transformers_has_in_memory_are_read():
    written, in_memory = (
        read_network(SAVED / name) for name in ("swin_unusual", "swin_unusual_in_memory")
    )
    assert jax.tree.all(jax.tree.map(np.array_equal, written.params, in_memory.params))


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
    assert jax.tree.all(jax.tree.map(np.array_equal, network.params, expected.params))
    assert (network.encoder.image_size, network.pixel_mean) == (224, (0.485, 0.456, 0.406))


def test_a_swin_within_a_model_with_a_decoder_is_read(tmp_path):
    shutil.copytree(SAVED / "swin", tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    whole = {f"swin.{name}": tensor for name, tensor in tensors.items()}
    whole |= {"swin.embeddings.mask_token": np.ones((1, 1, 4), "f4")}
    whole |= {"decoder.0.weight": np.ones((3, 16, 1, 1), "f4")}
    save_file(whole, tmp_path / "model.safetensors")
    found, expected = (read_network(folder).params for folder in (tmp_path, SAVED / "swin"))
    assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))


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
    assert jax.tree.all(jax.tree.map(np.array_equal, encoder.params["encoder"], expected))
    found = encoder.embed(golden["medsam.images"], on_speed=speeds.append)
    assert speeds[0].batch_size == 1
    assert relative_error(found, golden["medsam.40"]) < 1e-5


def test_sam_takes_few_large_images_at_once():
    assert [SAMConfig(image_size=size).images_at_once for size in (1024, 512, 224)] == [3, 12, 64]
    assert SAMConfig(image_size=16384).images_at_once == 1


def test_encoder_json_asks_for_medsam_s_pixels(saved):
    folder = saved("sam")
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
def test_another_feature_of_sam_leaves_the_neck_out(saved, way):
    folder, use = saved("sam"), EncoderUse(feature="patch_mean")
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
        ("swin", "class_token", "a Swin has no class token"),
        ("sam", "class_and_mean", "no class token"),
    ],
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


def test_a_large_map_s_rows_attend_one_after_another(monkeypatch):
    attention = sam.MapAttention(2, 3, True, True, jnp.float32)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 1, 9, 4)), jnp.float32)
    variables = jax.jit(attention.init)(jax.random.key(0), x)
    expected = jax.jit(attention.apply)(variables, x)
    monkeypatch.setattr(sam, "_LARGE", 1)
    found = jax.jit(lambda *given: attention.apply(*given))(variables, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["ctranspath", "sam"])
def test_an_imported_encoder_is_saved_and_read_again(tmp_path, name):
    encoder = load_encoder(SAVED / name)
    save_encoder(tmp_path / name, encoder.method, encoder.params, encoder.state)
    again = load_encoder(tmp_path / name)
    assert again.method == encoder.method
    stored = (encoder.params, encoder.state)
    assert jax.tree.all(jax.tree.map(np.array_equal, (again.params, again.state), stored))


def test_a_name_of_timm_s_older_versions_is_known(saved):
    folder = saved("timm_swin")
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


@pytest.fixture
def saved(tmp_path):
    def copy(name):
        shutil.copytree(SAVED / name, tmp_path / name)
        return tmp_path / name

    return copy


# Fields that change no feature of the source library either, or follow from others.
WITHOUT_EFFECT = (
    *("architectures", "dtype", "transformers_version", "initializer_range", "drop_path_rate"),
    *("out_features", "out_indices", "stage_names", "encoder_stride", "hidden_dropout_prob"),
    *("attention_probs_dropout_prob", "attention_dropout", "num_pos_feats", "scale"),
    *("prompt_encoder_config", "mask_decoder_config", "tie_word_embeddings"),
    "input_size",  # img_size goes before it
)
# mlp_dim goes before mlp_ratio; a larger window is cut to the map in timm too.
NOT_READ = {
    "sam": {"mlp_ratio", "model_type"},
    "sam_vision_unusual": {"mlp_ratio"},
    "timm_swin_windows": {"window_size"},
}


def fields_of(configuration, path=()):
    """(path, value) of every field, also those within objects."""
    for name, value in configuration.items():
        if name in WITHOUT_EFFECT:
            continue
        if isinstance(value, dict):
            yield from fields_of(value, (*path, name))
        else:
            yield (*path, name), value


def another(value):
    """Values of the same kind that are not this one, and one of another kind."""
    if isinstance(value, bool) or value is None:
        return [not value, "x"]
    if isinstance(value, int):
        return [value * 2, value + 1, "x"]
    if isinstance(value, float):
        return [value * 1.5, "x"]
    if isinstance(value, list):
        return [[*value[:-1], value[-1] * 2] if value else [1], "x"]
    return ["quick_gelu" if value != "quick_gelu" else "gelu", "swinv2_tiny_window8_256"]


@pytest.mark.parametrize(
    "name",
    ["timm_swin_windows", "swin", "swin_unusual", "sam", "sam_vision_unusual", "timm_sam"],
)
def test_every_field_changes_the_network_or_is_refused(saved, name):
    folder = saved(name)
    file = folder / "config.json"
    configuration = json.loads(file.read_text())
    original = summary(read_network(folder))
    for path, value in fields_of(configuration):
        if path[-1] in NOT_READ.get(name, ()):
            continue
        for other in another(value):
            changed = json.loads(json.dumps(configuration))
            inner = functools.reduce(lambda part, key: part[key], path[:-1], changed)
            inner[path[-1]] = other
            file.write_text(json.dumps(changed))
            try:
                found = summary(read_network(folder))
            except ValueError:
                continue
            assert found != original, f"{name}: {'.'.join(path)} = {other!r} changes nothing"


def summary(network):
    """What the features depend on."""
    leaves = jax.tree.leaves_with_path(network.params)
    params = tuple((str(path), leaf.shape, np.abs(np.asarray(leaf)).sum()) for path, leaf in leaves)
    return network.encoder, params, network.pixel_mean, network.pixel_deviation


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
def test_what_cannot_be_read_is_refused_by_name(saved, name, description, message):
    folder = saved(name)
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
        ("sam", lambda t: t.pop("vision_encoder.layers.1.attn.rel_pos_w"), "rel_pos_w"),
        ("sam", lambda t: t.pop("vision_encoder.neck.conv2.weight"), "neck.2.weight"),
        (
            "sam",
            lambda t: t.update({"vision_encoder.layers.0.extra": np.ones(2, np.float32)}),
            "does not use: blocks.0.extra",
        ),
    ],
)
def test_a_tensor_that_is_missing_or_left_over_is_named(saved, name, change, message):
    folder = saved(name)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
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
        (SAMConfig, {"global_blocks": (12,)}, "global_blocks"),
        (SAMConfig, {"heads": 7}, "7 heads do not divide"),
        (SAMConfig, {"image_size": 1000}, "multiple of patch_size"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(config, fields, message):
    with pytest.raises(ValueError, match=message):
        config(**fields)
