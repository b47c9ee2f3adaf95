"""Vision transformers of timm and transformers give their libraries' features, or an error.

golden/make_encoders_vit.py made the folders and the features; benchmarks/quality/encoder_parity.py
compares all of them at all sizes, also in bfloat16.
"""

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models.weights import read_network
from examine_jax.models.weights.timm_architectures import TIMM_ARCHITECTURES
from tests.support.golden_encoders import (
    GOLDEN,
    arrays,
    copied,
    features,
    library_error,
    relative_error,
    same_arrays,
    with_configuration,
    with_tensors,
)

SAVED = GOLDEN / "encoders_vit"


@pytest.fixture(scope="module")
def golden():
    return arrays("encoders_vit")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("virchow2", 32),
        ("uni2", 16),
        ("clip_quick", 24),
        ("registers_map", 24),
        ("query_key_norm", 16),
        ("norm_after", 24),
        ("class_mean", 24),
        ("dinov3_gated", 32),
        ("hf_registers", 16),
        ("hf_dinov3_gated", 24),
    ],
)
def test_features_equal_the_source_librarys(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert library_error(network, golden, name, size) <= 1e-5


@pytest.mark.parametrize("pool", ["avg", "token", ""])
def test_a_tower_of_dinov3_in_open_clip_is_pooled_as_timm_does(golden, tmp_path, pool):
    """Alone, timm's DINOv3 gives its class token; timm's own default is the mean of the patches."""
    vision = {"timm_model_name": "vit_small_patch16_dinov3", "timm_pool": pool}
    vision |= {"timm_proj": "none", "image_size": 24}
    configuration = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(configuration))
    (tmp_path / "encoder.json").write_text(json.dumps({"heads": 2}))
    trunk = load_file(SAVED / "dinov3" / "model.safetensors")
    towers = {f"visual.trunk.{name}": array for name, array in trunk.items()}
    save_file(towers, tmp_path / "open_clip_model.safetensors")
    tokens = golden["dinov3.tokens"]
    expected = tokens[:, 0] if pool == "token" else tokens[:, 5:].mean(axis=1)
    actual = features(read_network(tmp_path), golden["images.24"])
    assert relative_error(actual, expected) <= 1e-5


def test_names_on_disk_and_in_memory_are_one_network():
    networks = [read_network(SAVED / f"hf_registers_gated{end}") for end in ("", "_in_memory")]
    assert networks[0].encoder == networks[1].encoder
    assert same_arrays(networks[0].params, networks[1].params)


def test_a_folder_that_calls_itself_dinov2_and_holds_registers_is_read_with_them(tmp_path):
    folder = copied(SAVED / "hf_registers", tmp_path)
    with_configuration(folder, model_type="dinov2", architectures=["Dinov2ModelWithRegisters"])
    network = read_network(folder)
    assert network.encoder == read_network(SAVED / "hf_registers").encoder
    assert network.encoder.parts.registers == 3


def test_what_timms_names_say_is_what_timm_builds():
    stored = json.loads((GOLDEN / "timm_vit_architectures.json").read_text())
    assert stored.keys() == TIMM_ARCHITECTURES.keys()
    for name, (width, heads, act, epsilon, block, *further) in stored.items():
        ours = TIMM_ARCHITECTURES[name]
        assert (ours.width, ours.heads, ours.epsilon) == (width, heads, epsilon), name
        assert ours.mlp == ("gelu" if act == "SiLU" else act), name  # SiLU is a packed MLP's gate
        assert ours.norm_after == (block == "ResPostBlock"), name
        assert [ours.depth, ours.class_token, ours.registers, ours.last_norm] == further, name


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("uni2", {"num_heads": 4}),
        ("uni2", {"act_layer": "gelu"}),
        ("uni2", {"global_pool": "avg"}),
        ("uni2", {"img_size": 32}),
        ("clip", {"architecture": "vit_base_patch16_224"}),
        ("clip", {"architecture": "vit_base_patch16_clip_quickgelu_224"}),
        ("siglip", {"architecture": "vit_base_patch32_siglip_256"}),
        ("dinov3", {"rope_temperature": 50.0}),
        ("dinov3", {"num_heads": 4}),
        ("hf_dinov3", {"rope_theta": 100.0}),
        ("hf_dinov3", {"hidden_act": "gelu_pytorch_tanh"}),
        ("hf_dinov3_gated", {"hidden_act": "gelu"}),
        ("hf_dinov3_gated", {"layer_norm_eps": 1e-6}),
        ("hf_dinov3_gated", {"num_attention_heads": 4}),
        ("hf_registers", {"hidden_act": "quick_gelu"}),
        ("hf_registers", {"layer_norm_eps": 1e-5}),
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
            ("uni2", {field: value}, "image size" if field == "img_size" else field)
            for field, value in (
                ("patch_size", 2),
                ("in_chans", 1),
                ("embed_dim", 32),
                ("depth", 3),
                ("num_heads", 3),
                ("num_heads", "two"),
                ("mlp_ratio", 4),
                ("qkv_bias", False),
                ("qk_norm", True),
                ("class_token", False),
                ("reg_tokens", 4),
                ("pre_norm", True),
                ("final_norm", False),
                ("fc_norm", True),
                ("no_embed_class", False),
                ("act_layer", "relu"),
                ("act_layer", {"of": "classes"}),
                ("norm_layer", "rmsnorm"),
                ("block_fn", "ParallelScalingBlock"),
                ("global_pool", "max"),
                ("pool_include_prefix", True),
                ("a_new_field", 1),
                ("mlp_ratio", 1e308),
                ("global_pool", ["avg"]),
                ("img_size", 1 << 40),
                ("img_size", "large"),
                ("img_size", [24, 32]),
            )
        ),
        ("plain", {"init_values": 1e-5}, "no layer scale"),
        ("plain", {"architecture": "vit_base_patch16_xp_224"}, "vit_base_patch16_xp_224"),
        ("dinov3", {"rope_type": "mixed"}, "rope_type"),
        ("dinov3", {"num_reg_tokens": 0}, "num_reg_tokens"),
        ("dinov3", {"scale_mlp": True}, "scale_mlp"),
        ("hf_dinov3", {"use_gated_mlp": True}, "gate_proj"),
        ("hf_dinov3_gated", {"use_gated_mlp": False}, "does not use"),
        ("hf_dinov3", {"num_register_tokens": 2}, "register_tokens"),
        ("hf_dinov3", {"query_bias": False}, "q_proj.bias"),
        ("hf_dinov3", {"key_bias": True}, "k_proj.bias"),
        ("hf_dinov3", {"proj_bias": False}, "o_proj.bias"),
        ("hf_dinov3", {"mlp_bias": False}, "up_proj.bias|down_proj.bias"),
        ("hf_dinov3", {"hidden_act": "mish"}, "hidden_act"),
        ("hf_dinov3", {"hidden_act": ["gelu"]}, "hidden_act"),
        ("hf_dinov3", {"query_bias": "no"}, "query_bias is 'no'; it must be true or false"),
        ("hf_dinov3", {"rope_theta": "far"}, "far"),
        ("hf_dinov3", {"attention_gate": True}, "attention_gate"),
        ("hf_registers", {"num_register_tokens": 4}, "num_register_tokens is 4.* 3 register"),
        ("hf_registers", {"use_swiglu_ffn": True}, "weights_in"),
        ("hf_registers", {"qkv_bias": False}, "does not use"),
        ("hf_registers", {"patch_size": 6}, "embeddings"),
        ("hf_registers", {"image_size": 32}, "position_embeddings"),
    ],
)
def test_a_field_that_the_tensors_gainsay_or_that_is_unknown_is_named(
    tmp_path, name, changes, message
):
    folder = copied(SAVED / name, tmp_path)
    with_configuration(folder, **changes)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


def without_the_last_norm(tensors):
    for part in ("weight", "bias"):
        del tensors[f"norm.{part}"]


def with_a_class_token(tensors):
    tensors["cls_token"] = np.zeros((1, 1, 16), np.float32)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("uni2", lambda t: t.pop("blocks.1.mlp.fc2.weight"), "lacks.*blocks.1.mlp.fc2.weight"),
        ("uni2", lambda t: t.pop("blocks.1.attn.qkv.bias"), "lacks.*blocks.1.attn.qkv.bias"),
        ("uni2", lambda t: t.pop("pos_embed"), "lacks the tensor pos_embed"),
        ("uni2", lambda t: t.update(pos_embed=np.ones((1, 38, 16), np.float32)), "38 rows"),
        ("uni2", lambda t: t.update(cls_token=np.ones((1, 1, 8), np.float32)), "cls_token"),
        ("uni2", lambda t: t.update({"blocks.0.attn.rel": np.ones(2, np.float32)}), "attn.rel"),
        ("plain", lambda t: t.update({"norm.weight": np.ones(15, np.float32)}), "norm.weight"),
        ("plain", lambda t: t.pop("cls_token"), "lacks the tensor cls_token"),
        ("plain", lambda t: t.pop("patch_embed.proj.bias"), "lacks.*patch_embed.proj.bias"),
        ("plain", without_the_last_norm, "lacks the tensor norm.weight"),
        ("gap", with_a_class_token, "holds the tensor cls_token"),
        ("h_optimus", lambda t: t.pop("reg_token"), "register.* are 0, .* 4"),
        ("dinov3", lambda t: t.pop("reg_token"), "register.* are 0, .* 4"),
        ("registers_map", lambda t: t.pop("attn_pool.kv.bias"), "lacks.*attn_pool.kv.bias"),
        ("dinov3_gated", lambda t: t.pop("blocks.1.attn.v_bias"), "lacks.*attn.v_bias"),
        ("hf_registers", lambda t: t.pop("embeddings.register_tokens"), "holds 0 register"),
    ],
)
def test_missing_misshapen_and_left_over_tensors_are_named(tmp_path, name, change, message):
    folder = copied(SAVED / name, tmp_path)
    with_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


def test_a_file_that_lacks_whole_blocks_is_told_by_its_name(monkeypatch, tmp_path):
    folder = copied(SAVED / "plain", tmp_path)
    known = TIMM_ARCHITECTURES["vit_base_patch16_224"]
    monkeypatch.setitem(
        TIMM_ARCHITECTURES, "vit_base_patch16_224", dataclasses.replace(known, width=16)
    )
    with_configuration(folder, depth=None)
    with pytest.raises(ValueError, match=r"depth.* 12.* 2"):
        read_network(folder)


def test_another_width_than_the_names_asks_for_the_heads(tmp_path):
    folder = copied(SAVED / "uni2", tmp_path)
    with_configuration(folder, num_heads=None)
    with pytest.raises(ValueError, match=r"number of heads is not known.*encoder\.json"):
        read_network(folder)


def test_pixels_are_scaled_as_pretrained_cfg_says_or_the_folder_is_refused(tmp_path):
    folder = copied(SAVED / "uni2", tmp_path)
    assert read_network(folder).pixel_mean == (0.485, 0.456, 0.406)
    configuration = json.loads((folder / "config.json").read_text())
    del configuration["pretrained_cfg"]["std"]
    (folder / "config.json").write_text(json.dumps(configuration))
    with pytest.raises(ValueError, match="no mean and std"):
        read_network(folder)
