"""CLIP, SigLIP, OpenCLIP and ConvNeXt give their libraries' features, or an error.

The networks are golden/make_encoders_clip_convnext.py's.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models import depthwise
from examine_jax.models.weights import read_network
from tests.support.golden_encoders import (
    GOLDEN,
    arrays,
    copied,
    fields_that_change_nothing,
    library_error,
    same_arrays,
    with_tensors,
)

SAVED = GOLDEN / "encoders_clip_convnext"


@pytest.fixture(scope="module")
def golden():
    return arrays("encoders_clip_convnext")


CONVNEXTS = [
    "timm_convnext",
    "timm_convnext_conv_mlp",
    "timm_convnext_v2",
    "convnext",
    "convnext_tanh",
    "convnext_v2",
]


@pytest.mark.parametrize("size", [32, 40])
@pytest.mark.parametrize("name", CONVNEXTS)
def test_features_of_a_convnext_equal_its_library_s(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert network.encoder.image_size == size
    assert library_error(network, golden, name, size) < 1e-5


TOWERS = ["clip", "clip_gelu", "clip_vision_projected", "clip_vision", "siglip", "siglip_vision"]


@pytest.mark.parametrize("size", [24, 40])
@pytest.mark.parametrize("name", TOWERS)
def test_features_of_a_vision_tower_equal_transformers(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert library_error(network, golden, name, size) < 1e-5


@pytest.mark.parametrize("name", ["open_clip", "open_clip_gelu", "open_clip_timm"])
def test_features_of_open_clip_equal_its_own(golden, name):
    network = read_network(SAVED / name)
    assert network.pixel_mean == (0.4, 0.5, 0.6)
    assert library_error(network, golden, name, network.encoder.image_size) < 1e-5


@pytest.mark.parametrize("size", [16, 40])
def test_open_clip_s_positions_are_resized_as_it_does_it(golden, size):
    network = read_network(SAVED / "open_clip", image_size=size)
    assert library_error(network, golden, "open_clip", size) < 1e-5


# Fields that change no feature of the source library either.
WITHOUT_EFFECT = {
    *("architectures", "dtype", "transformers_version", "initializer_range", "num_classes"),
    *("initializer_factor", "drop_path_rate", "attention_dropout", "out_features", "out_indices"),
    *("stage_names", "text_config", "text_cfg", "logit_scale_init_value", "timm_model_pretrained"),
    "layer_scale_init_value",
}
# Where a projection's width is written for models that have one.
NOT_READ = {
    "clip": {"vision_config.projection_dim", "vision_config.model_type"},
    "clip_vision": {"projection_dim"},
    "siglip": {"vision_config.model_type"},
}
TAKEN_AS_TRUE = {
    "vision_config.vision_use_head = 'x'",
    "vision_use_head = 'x'",
    "model_cfg.quick_gelu = 'x'",
}


@pytest.mark.parametrize(
    "name",
    [
        *("clip", "clip_vision", "clip_vision_projected", "siglip", "siglip_vision", "convnext"),
        *("convnext_v2", "timm_convnext", "timm_convnext_v2", "open_clip", "open_clip_timm"),
    ],
)
def test_every_field_changes_the_network_or_is_refused(tmp_path, name):
    without_effect = WITHOUT_EFFECT | NOT_READ.get(name, set())
    found = fields_that_change_nothing(copied(SAVED / name, tmp_path), without_effect)
    assert set(found) <= TAKEN_AS_TRUE


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("clip", {"vision_config": {"hidden_act": "gelu"}}),
        ("clip", {"vision_config": {"layer_norm_eps": 1e-2}}),
        ("clip", {"vision_config": {"num_attention_heads": 2}}),
        ("siglip", {"vision_config": {"hidden_act": "gelu"}}),
        ("convnext", {"layer_norm_eps": 1e-2}),
        ("open_clip", {"model_cfg": {"quick_gelu": False}}),
    ],
)
def test_a_field_changes_the_numbers(golden, tmp_path, name, change):
    folder = copied(SAVED / name, tmp_path)
    (folder / "encoder.json").write_text(json.dumps({"configuration": change}))
    network = read_network(folder)
    assert library_error(network, golden, name, network.encoder.image_size) > 1e-5


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("clip", {"vision_config": {"new_field": 2}}, "the field new_field"),
        ("clip", {"new_field": 2}, "the field new_field"),
        ("clip", {"vision_config": {"hidden_act": "tanh"}}, "hidden_act is 'tanh'"),
        ("clip", {"vision_config_dict": {"hidden_size": 3}}, "vision_config_dict has hidden_size"),
        ("siglip", {"vision_config": {"vision_use_head": False}}, "no feature of a whole image"),
        ("timm_convnext", {"architecture": "convnext_atto_ols"}, "another stem, norm or head"),
        ("timm_convnext", {"model_args": {"stem_type": "overlap"}}, "model_args has stem_type"),
        ("timm_convnext", {"global_pool": "max"}, "global_pool is 'max'"),
        ("timm_convnext", {"model_args": {"depths": [9, 9]}}, r"depths is \[9, 9\], the tensors"),
        (
            "timm_convnext",
            {"pretrained_cfg": {"mean": None}},
            "pixels of 3 channels are normalised",
        ),
        ("clip", {"projection_dim": "x"}, "projection_dim is 'x'"),
        ("clip", {"vision_config": {"layer_norm_eps": float("nan")}}, "layer_norm_eps is nan"),
        ("timm_convnext", {"model_args": 3}, "model_args is 3; it must be an object"),
        ("convnext", {"depths": 3}, r"depths is 3, the tensors have"),
        ("convnext", {"layer_norm_eps": float("inf")}, "layer_norm_eps is inf"),
        ("convnext", {"hidden_sizes": [8, 8]}, r"hidden_sizes is \[8, 8\], the tensors have"),
        ("open_clip", {"model_cfg": {"vision_cfg": {"pool_type": "avg"}}}, "the field pool_type"),
        ("open_clip", {"model_cfg": {"vision_cfg": {"layers": [3, 4, 6, 3]}}}, "a ResNet of CLIP"),
        ("open_clip", {"model_cfg": {"vision_cfg": {"head_width": 5}}}, "does not divide width"),
        ("open_clip", {"model_cfg": {"embed_dim": 7}}, r"visual.proj is \[16, 12\]"),
        ("open_clip_timm", {"model_cfg": {"vision_cfg": {"timm_pool": "rot_attn"}}}, "timm_pool"),
        ("open_clip_timm", {"model_cfg": {"vision_cfg": {"timm_proj": "mlp"}}}, "timm_proj 'mlp'"),
        (
            "open_clip_timm",
            {"model_cfg": {"vision_cfg": {"timm_model_name": "swin_tiny"}}},
            "'swin_tiny', a tower that cannot be read",
        ),
    ],
)
def test_a_field_that_cannot_be_read_is_refused_by_name(tmp_path, name, changes, message):
    folder = copied(SAVED / name, tmp_path)
    (folder / "encoder.json").write_text(json.dumps({"configuration": changes}))
    with pytest.raises(ValueError, match=message):
        read_network(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("clip", lambda t: t.pop("vision_model.pre_layrnorm.bias"), "pre_layrnorm.bias"),
        (
            "clip",
            lambda t: t.update({"vision_model.x": np.ones(2, np.float32)}),
            "does not use: vision_model.x",
        ),
        ("siglip", lambda t: t.pop("vision_model.head.probe"), "head.probe"),
        ("timm_convnext", lambda t: t.pop("stages.3.blocks.0.gamma"), "stages.3.blocks.0.gamma"),
        (
            "timm_convnext",
            lambda t: t.update({"stages.0.blocks.0.extra.weight": np.ones(2, np.float32)}),
            "does not use: stages.0.blocks.0.extra.weight",
        ),
        (
            "timm_convnext",
            lambda t: t.update({"head.pre_logits.fc.weight": np.ones((2, 2), np.float32)}),
            "does not use: head.pre_logits.fc.weight",
        ),
        ("timm_convnext", lambda t: t.pop("stem.0.weight"), "lacks the tensor stem.0.weight"),
        ("open_clip_timm", lambda t: t.pop("visual.head.proj.weight"), "visual.head.proj.weight"),
        (
            "clip",
            lambda t: [t.pop(name) for name in list(t) if not name.startswith("text_")],
            "a text tower alone",
        ),
        (
            "open_clip",
            lambda t: [t.pop(name) for name in list(t) if name.startswith("visual.")],
            "a text tower alone",
        ),
    ],
)
def test_a_tensor_that_is_missing_or_left_over_is_named(tmp_path, name, change, message):
    folder = copied(SAVED / name, tmp_path)
    with_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


def test_a_convnext_s_file_alone_is_read_under_three_libraries_names(tmp_path):
    expected = read_network(SAVED / "convnext_v2").params
    of_transformers = load_file(SAVED / "convnext_v2" / "model.safetensors")
    of_facebook = {}
    for name, array in of_transformers.items():
        for old, new in (
            ("embeddings.patch_embeddings", "downsample_layers.0.0"),
            ("embeddings.layernorm", "downsample_layers.0.1"),
            ("encoder.stages.1.downsampling_layer", "downsample_layers.1"),
            ("encoder.stages.", "stages."),
            (".layers.", "."),
            ("grn.weight", "grn.gamma"),
            ("grn.bias", "grn.beta"),
            (".layernorm.", ".norm."),
        ):
            name = name.replace(old, new)
        of_facebook[name.replace("layernorm.", "norm.")] = array
    for name, tensors in (("transformers", of_transformers), ("facebook", of_facebook)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        network = read_network(tmp_path / f"{name}.safetensors")
        assert same_arrays(network.params, expected)
        assert network.pixel_mean == (0.485, 0.456, 0.406)


def test_a_large_depthwise_convolution_is_a_sum_of_shifted_images():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1, 9, 8, 128)).astype(np.float32)
    kernel = generator.normal(size=(7, 7, 1, 128)).astype(np.float32)
    assert x[0].size >= depthwise._LARGE
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
    expected = np.einsum("brcwij,ijw->brcw", windows, kernel[:, :, 0])
    np.testing.assert_allclose(
        jax.jit(depthwise.depthwise)(x, kernel), expected, rtol=1e-4, atol=1e-4
    )

    def groups(x, kernel):
        return depthwise._of_groups(x, kernel, 1, ((3, 3), (3, 3)))

    grouped = groups(jnp.asarray(x), jnp.asarray(kernel))
    np.testing.assert_allclose(grouped, expected, rtol=1e-4, atol=1e-4)
    gradients = [
        jax.jit(jax.grad(lambda *args, run=run: jnp.sin(run(*args)).sum(), argnums=(0, 1)))(
            x, kernel
        )
        for run in (depthwise.depthwise, groups)
    ]
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
