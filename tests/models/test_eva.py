"""EVAs give timm's features, or an error.

golden/make_encoders_beit_eva.py made the folders and the features; benchmarks/quality/
encoder_parity.py compares all of them at all sizes, also in bfloat16.
"""

import json

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models import GridRotaryPositions
from examine_jax.models.forward import run_network
from examine_jax.models.weights import read_network
from examine_jax.models.weights.timm_beit import BEIT_DEFAULTS, BEIT_SIZES
from examine_jax.models.weights.timm_eva import EVA_SIZES, eva_defaults, rotary_of
from tests.support.golden_encoders import (
    GOLDEN,
    arrays,
    copied,
    features,
    library_error,
    relative_error,
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
        ("eva02_clip", 32),
        ("eva02_options", 16),
        ("eva02_norm_after", 24),
        ("eva_x_small", 32),
    ],
)
def test_features_equal_the_source_librarys(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert library_error(network, golden, name, size) <= 1e-5


def test_what_timms_names_say_is_what_timm_builds():
    stored = json.loads((GOLDEN / "timm_eva_architectures.json").read_text())
    assert stored.keys() == {**EVA_SIZES, **BEIT_SIZES}.keys()
    for name, (*sizes, pool, rotary, reference, norm_after, parts) in stored.items():
        if name in BEIT_SIZES:
            assert BEIT_SIZES[name] == tuple(sizes), name
            assert parts == BEIT_DEFAULTS, name
            assert (pool, rotary, reference, norm_after) == ("avg", False, None, False), name
            continue
        assert EVA_SIZES[name] == tuple(sizes), name
        assert eva_defaults(name) == parts, name
        ours = rotary_of(name, {}, "")
        assert (ours is not None, ours and ours.reference) == (rotary, reference), name
        assert ("token" if "_clip_" in name else "avg") == pool, name
        assert ("enormous" in name) == norm_after, name


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("eva02_options", {"ref_feat_shape": [6, 6]}),
        ("eva02_options", {"rope_temperature": 100.0}),
        ("eva02_options", {"use_rot_pos_emb": False}),
        ("eva02_clip", {"num_heads": 4}),
        ("eva_giant", {"use_post_norm": True}),
        ("eva_giant", {"use_rot_pos_emb": True}),
    ],
)
def test_a_field_that_the_tensors_do_not_tell_changes_the_network(tmp_path, name, changes):
    folder = copied(SAVED / name, tmp_path)
    with_configuration(folder, **changes)
    assert read_network(folder).encoder != read_network(SAVED / name).encoder


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        *(
            ("eva02_options", {field: value}, field)
            for field, value in (
                ("patch_size", 2),
                ("embed_dim", 32),
                ("depth", 1),
                ("mlp_ratio", 12),
                ("qkv_bias", False),
                ("qk_norm", False),
                ("init_values", 0),
                ("swiglu_mlp", False),
                ("scale_mlp", True),
                ("scale_attn_inner", False),
                ("attn_type", "rope"),
                ("num_reg_tokens", 0),
                ("class_token", False),
                ("no_embed_class", False),
                ("use_abs_pos_emb", False),
                ("use_pre_transformer_norm", False),
                ("rope_type", "mixed"),
                ("rope_grid_offset", 1.0),
                ("rope_grid_indexing", "xy"),
                ("rope_rotate_half", True),
                ("rope_temperature", 0),
                ("ref_feat_shape", [5, 6]),
                ("ref_feat_shape", "large"),
                ("num_kv_heads", 1),
                ("attn_only_layer_scale", True),
                ("global_pool", "map"),
                ("a_new_field", 1),
            )
        ),
        ("eva_x_small", {"ref_feat_shape": 16}, "rope.freqs_(cos|sin) holds other rotary"),
        ("eva_x_small", {"rope_temperature": 100.0}, "rope.freqs_(cos|sin) holds other rotary"),
        ("eva_x_small", {"use_rot_pos_emb": False}, "rope.freqs_(cos|sin) holds other rotary"),
    ],
)
def test_a_field_that_the_tensors_gainsay_or_that_is_unknown_is_named(
    tmp_path, name, changes, message
):
    folder = copied(SAVED / name, tmp_path)
    with_configuration(folder, **changes)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


ONES = np.ones((16,), np.float32)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "eva02_clip",
            lambda t: t.pop("blocks.1.attn.norm.bias"),
            "lacks.*blocks.1.attn.norm.bias",
        ),
        ("eva02_clip", lambda t: t.pop("blocks.1.mlp.norm.bias"), "lacks.*blocks.1.mlp.norm.bias"),
        ("eva02_clip", lambda t: t.update({"blocks.0.attn.k_proj.bias": ONES}), "k_proj.bias"),
        ("eva02_clip", lambda t: t.update({"blocks.0.attn.gate.bias": ONES}), "gate.bias"),
    ],
)
def test_missing_misshapen_and_left_over_tensors_are_named(tmp_path, name, change, message):
    folder = copied(SAVED / name, tmp_path)
    with_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


@pytest.mark.parametrize("name", ["eva02_options"])
def test_programs_are_exported_for_all_platforms(name):
    network = read_network(SAVED / name)
    run = jax.jit(
        lambda params, x: run_network(network.encoder.module(), params, {}, x, train=False)[0]
    )
    images = jax.ShapeDtypeStruct((2, 24, 24, 3), jnp.float32)
    exported = jax.export.export(run, platforms=("cpu", "cuda", "tpu"))(network.params, images)
    assert exported.out_avals[0].shape == (2, 16)


def test_rotary_positions_out_of_range_are_refused():
    for field in ("base", "reference"):
        with pytest.raises(ValueError, match=f"{field} must be positive"):
            GridRotaryPositions(**{field: 0.0})


def test_a_tower_of_eva_in_open_clip_ends_with_its_classifier(golden, tmp_path):
    """As in EVA02-B-16: without a projection, the trunk's classifier maps to images and texts."""
    vision = {"timm_model_name": "eva02_base_patch16_clip_224", "timm_pool": "token"}
    vision |= {"timm_model_pretrained": False, "timm_proj": None, "image_size": 24}
    configuration = {"model_cfg": {"embed_dim": 5, "vision_cfg": vision, "custom_text": True}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(configuration))
    (tmp_path / "encoder.json").write_text(json.dumps({"heads": 2}))
    trunk = load_file(SAVED / "eva02_clip" / "model.safetensors")
    noise = np.random.default_rng(0)
    head = {"weight": noise.normal(size=(5, 16)), "bias": noise.normal(size=5)}
    trunk |= {f"head.{name}": array.astype(np.float32) for name, array in head.items()}
    towers = {f"visual.trunk.{name}": array for name, array in trunk.items()}
    save_file(towers, tmp_path / "open_clip_model.safetensors")
    expected = golden["eva02_clip.24"] @ head["weight"].T + head["bias"]
    actual = features(read_network(tmp_path), golden["images.24"])
    assert relative_error(actual, expected) <= 1e-5


def test_eva_x_is_known_by_name_and_asks_for_its_pixels(tmp_path):
    folder = copied(SAVED / "eva_x_small", tmp_path)
    tiny = {"heads": 2, "configuration": {"model_args": {"patch_size": 4, "depth": 2}}}
    description = {"known": "eva-x-small", "image_size": 24, **tiny}
    (folder / "encoder.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"no mean and std.*encoder\.json"):
        read_network(folder)
    description |= {"mean": 0.5, "deviation": 0.25}
    (folder / "encoder.json").write_text(json.dumps(description))
    network, expected = read_network(folder), read_network(SAVED / "eva_x_small")
    assert network.known == "eva-x-small"
    assert network.encoder == expected.encoder
    assert (network.pixel_mean, network.pixel_deviation) == ((0.5,), (0.25,))
