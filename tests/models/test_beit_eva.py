"""BEiTs, EVAs and facebookresearch's own DINOs give their libraries' features, or an error.

golden/make_encoders_beit_eva.py made the folders and the features; benchmarks/quality/
encoder_parity.py compares all of them at all sizes, also in bfloat16.
"""

import dataclasses
import functools
import json
import pathlib
import shutil

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models import GridRotaryPositions, ViTConfig, ViTExtras, patchify
from examine_jax.models.forward import init_network, run_network
from examine_jax.models.layer_numbers import layer_numbers
from examine_jax.models.layers import attend, attend_with_bias
from examine_jax.models.relative_positions import biases_of, relative_rows, table_rows
from examine_jax.models.weights import read_network
from examine_jax.models.weights.timm_beit import BEIT_DEFAULTS, BEIT_SIZES
from examine_jax.models.weights.timm_eva import EVA_SIZES, eva_defaults, rotary_of

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
SAVED = GOLDEN / "encoders_beit_eva"
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "encoders_beit_eva.npz") as file:
        return {name: file[name] for name in file.files}


def features(network, images):
    def run(params, pixels):
        return network.encoder.module().apply({"params": params}, pixels)

    pixels = jnp.asarray(images / 255.0, jnp.float32)
    compiled = jax.jit(run).lower(network.params, pixels).compile(compiler_options=QUICK)
    return np.asarray(compiled(network.params, pixels))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("beit", 32),
        ("beit_every_part", 16),
        ("hf_beit_every_part", 32),
        ("hf_beit_masked", 16),
        ("hf_data2vec", 32),
        ("eva02_clip", 32),
        ("eva02_options", 16),
        ("eva02_norm_after", 24),
        ("eva_x_small", 32),
        ("facebook_dinov2", 16),
        ("facebook_dinov2_registers", 32),
        ("facebook_dinov3_gated", 32),
    ],
)
def test_features_equal_the_source_librarys(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    expected = golden[f"{name}.{size}"]
    actual = features(network, golden[f"images.{size}"])
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


def test_names_on_disk_and_in_memory_are_one_network():
    networks = [read_network(SAVED / f"hf_beit_every_part{end}") for end in ("", "_in_memory")]
    assert networks[0].encoder == networks[1].encoder
    assert jax.tree.all(jax.tree.map(np.array_equal, networks[0].params, networks[1].params))


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


def copied(tmp_path, name):
    shutil.copytree(SAVED / name, tmp_path / name)
    return tmp_path / name


def with_configuration(folder, **changes):
    """Writes fields into config.json: timm's into its model_args; or into encoder.json."""
    file = folder / "config.json"
    if not file.exists():
        file = folder / "encoder.json"
        content = json.loads(file.read_text())
        arguments = content.setdefault("configuration", {})
        if "architecture" in content:
            arguments = arguments["model_args"]
        arguments |= changes
    else:
        content = json.loads(file.read_text())
        if "architecture" in content and "architecture" not in changes:
            content["model_args"] |= changes
        else:
            content |= changes
    file.write_text(json.dumps(content))


def with_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("beit", {"num_heads": 4}),
        ("beit", {"global_pool": "token", "use_fc_norm": True}),
        ("eva02_options", {"ref_feat_shape": [6, 6]}),
        ("eva02_options", {"rope_temperature": 100.0}),
        ("eva02_options", {"use_rot_pos_emb": False}),
        ("eva02_clip", {"num_heads": 4}),
        ("eva_giant", {"use_post_norm": True}),
        ("eva_giant", {"use_rot_pos_emb": True}),
        ("hf_beit", {"layer_norm_eps": 1e-6}),
        ("hf_beit", {"hidden_act": "quick_gelu"}),
        ("hf_beit_masked", {"use_mean_pooling": False}),
        ("facebook_dinov2", {"layer_norm_eps": 1e-5}),
        ("facebook_dinov3", {"layer_norm_eps": 1e-6}),
    ],
)
def test_a_field_that_the_tensors_do_not_tell_changes_the_network(tmp_path, name, changes):
    folder = copied(tmp_path, name)
    if "num_heads" in changes and name == "beit":  # its tables have a column a head
        with_tensors(folder, lambda t: t.update({n: widened(a) for n, a in t.items()}))
    with_configuration(folder, **changes)
    assert read_network(folder).encoder != read_network(SAVED / name).encoder


def widened(array):
    return np.concatenate([array, array], axis=1) if array.shape == (124, 2) else array


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        *(
            ("beit", {field: value}, field)
            for field, value in (
                ("patch_size", 2),
                ("in_chans", 1),
                ("embed_dim", 32),
                ("depth", 3),
                ("num_heads", 4),  # the tables' columns
                ("mlp_ratio", 4),
                ("qkv_bias", False),
                ("init_values", 0),
                ("swiglu_mlp", True),
                ("scale_mlp", True),
                ("use_abs_pos_emb", True),
                ("use_rel_pos_bias", False),
                ("use_shared_rel_pos_bias", True),
                ("global_pool", "max"),
                ("norm_layer", "rmsnorm"),
                ("a_new_field", 1),
            )
        ),
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
        ("beit", {"use_fc_norm": False}, "lacks the tensor norm.weight"),
        ("eva_x_small", {"ref_feat_shape": 16}, "rope.freqs_(cos|sin) holds other rotary"),
        ("eva_x_small", {"rope_temperature": 100.0}, "rope.freqs_(cos|sin) holds other rotary"),
        ("eva_x_small", {"use_rot_pos_emb": False}, "rope.freqs_(cos|sin) holds other rotary"),
        ("hf_beit", {"use_relative_position_bias": False}, "needs extras.relative_bias"),
        ("hf_beit", {"use_shared_relative_position_bias": True}, "lacks.*encoder.relative_pos"),
        ("hf_beit", {"use_absolute_position_embeddings": True}, "lacks.*position_embeddings"),
        ("hf_beit", {"use_mean_pooling": False}, "lacks.*layernorm.weight"),
        ("hf_beit", {"use_mean_pooling": "no"}, "use_mean_pooling is 'no'"),
        ("hf_beit", {"layer_scale_init_value": 0.0}, "does not use.*lambda_1"),
        ("hf_beit", {"layer_scale_init_value": "small"}, "small"),
        ("hf_beit", {"image_size": 32}, "relative_position_bias_table"),
        ("hf_beit", {"num_attention_heads": 4}, "relative_position_bias_table"),
        ("hf_beit", {"attention_gate": True}, "attention_gate"),
        ("hf_beit", {"architectures": ["SwinModel"]}, "one of them is wrong"),
        ("hf_beit_every_part", {"use_shared_relative_position_bias": False}, "does not use"),
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
    folder = copied(tmp_path, name)
    if changes == {"num_attention_heads": 1}:
        (folder / "encoder.json").write_text(json.dumps({"mean": 0.5, "deviation": 0.5}))
    with_configuration(folder, **changes)
    with pytest.raises(ValueError, match="relative_position_bias" if changes == HEADS else message):
        read_network(folder)


HEADS = {"num_heads": 4}
TABLE = "blocks.0.attn.relative_position_bias_table"
ONES = np.ones((16,), np.float32)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("beit", lambda t: t.pop(TABLE), "use_rel_pos_bias is True"),
        ("beit", lambda t: t.pop(TABLE.replace("0", "1")), "lacks.*blocks.1.attn.relative"),
        ("beit", lambda t: t.update({TABLE: np.ones((123, 2), np.float32)}), "123 rows"),
        ("beit", lambda t: t.pop("fc_norm.weight"), "lacks the tensor fc_norm.weight"),
        ("beit", lambda t: t.pop("blocks.1.attn.v_bias"), "lacks.*blocks.1.attn.v_bias"),
        ("beit", lambda t: t.update({"decoder.weight": ONES}), "does not use: decoder.weight"),
        ("cae", lambda t: t.pop("pos_embed"), "use_abs_pos_emb"),
        ("cae", lambda t: t.update(pos_embed=np.ones((1, 30, 16), np.float32)), "30 rows"),
        (
            "eva02_clip",
            lambda t: t.pop("blocks.1.attn.norm.bias"),
            "lacks.*blocks.1.attn.norm.bias",
        ),
        ("eva02_clip", lambda t: t.pop("blocks.1.mlp.norm.bias"), "lacks.*blocks.1.mlp.norm.bias"),
        ("eva02_clip", lambda t: t.update({"blocks.0.attn.k_proj.bias": ONES}), "k_proj.bias"),
        ("eva02_clip", lambda t: t.update({"blocks.0.attn.gate.bias": ONES}), "gate.bias"),
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
    folder = copied(tmp_path, name)
    with_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


def test_a_file_with_caes_names_is_read_without_a_configuration(tmp_path):
    """PanDerm's files have a prefix, and no configuration; only its pixels cannot be told."""
    tensors = load_file(SAVED / "cae" / "model.safetensors")
    save_file({f"encoder.{name}": array for name, array in tensors.items()}, tmp_path / "w.sft")
    (tmp_path / "w.sft").rename(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"number of heads is not known.*\"heads\""):
        read_network(tmp_path / "model.safetensors")
    (tmp_path / "encoder.json").write_text(json.dumps({"heads": 2}))
    with pytest.raises(ValueError, match=r"no mean and std.*encoder\.json"):
        read_network(tmp_path)
    description = {"mean": 0.5, "deviation": 0.25}
    (tmp_path / "encoder.json").write_text(json.dumps(description | {"heads": 2}))
    network, expected = read_network(tmp_path), read_network(SAVED / "cae")
    assert network.encoder == expected.encoder
    assert network.pixel_deviation == (0.25,)
    assert jax.tree.all(jax.tree.map(np.array_equal, network.params, expected.params))


@pytest.mark.parametrize("name", ["facebook_dinov2", "facebook_dinov3_no_biases"])
def test_what_facebookresearchs_tensors_do_not_tell_is_asked_for(tmp_path, name):
    folder = copied(tmp_path, name)
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
    folder = copied(tmp_path, "facebook_dinov2")
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
    assert jax.tree.all(jax.tree.map(np.array_equal, network.params, expected.params))


def test_rows_of_a_table_are_those_of_a_loop_over_pairs():
    rows, side = relative_rows(3), 3
    assert rows.max() == table_rows(side) - 1 == 27
    for query in range(9):
        for key in range(9):
            down, right = query // 3 - key // 3, query % 3 - key % 3
            assert rows[1 + query, 1 + key] == (down + 2) * 5 + right + 2
    assert (rows[0, 1:] == 25).all()
    assert (rows[1:, 0] == 26).all()
    assert relative_rows(1).tolist() == [[3, 1], [2, 0]]


def test_tables_kept_in_half_precision_are_added_in_float32():
    # A block's table and the shared one meet before they meet the logits.
    rows = jnp.asarray(relative_rows(3))
    table = jnp.linspace(-3, 3, table_rows(3) * 2).reshape(-1, 2).astype(jnp.bfloat16)
    bias = biases_of(table, rows)
    assert bias.dtype == jnp.float32
    np.testing.assert_array_equal(bias, biases_of(table.astype(jnp.float32), rows))


BIASED = ViTConfig(
    image_size=8,
    patch_size=4,
    channels=2,
    width=8,
    depth=1,
    heads=2,
    mlp_width=8,
    positions="relative",
    extras=ViTExtras(
        relative_bias=True, shared_relative_bias=True, mlp_norm=True, attention_norm=True
    ),
)


def test_visible_patches_in_another_order_have_the_same_relative_biases():
    images = jax.random.normal(jax.random.key(0), (3, 8, 8, 2))
    params = jax.eval_shape(
        functools.partial(init_network, BIASED.module()), jax.random.key(0), images
    )[0]
    noise = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: noise.normal(size=leaf.shape).astype(np.float32), params)
    order = jnp.asarray([[2, 0, 3, 1]] * 3)

    @jax.jit
    def in_two_orders(params, patches):
        def encode(patches, where=None):
            return BIASED.module().apply({"params": params}, patches, where, method="encode")

        moved = jnp.take_along_axis(patches, order[..., None], axis=1)
        return encode(patches), encode(moved, order)

    plain, shuffled = in_two_orders(params, patchify(images, 4))
    np.testing.assert_allclose(shuffled[:, 0], plain[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        shuffled[:, 1:], np.take_along_axis(plain[:, 1:], order[..., None], 1), rtol=1e-4, atol=1e-5
    )


def test_a_bias_of_zero_is_none_and_a_large_one_chooses_a_key():
    query, key, value = jax.random.normal(jax.random.key(2), (3, 1, 2, 4, 8))
    none = attend_with_bias(query, key, value, jnp.zeros((2, 4, 4)))
    np.testing.assert_allclose(none, attend(query, key, value), rtol=1e-5, atol=1e-6)
    chosen = attend_with_bias(query, key, value, jnp.zeros((2, 4, 4)).at[:, :, 1].set(1e4))
    np.testing.assert_allclose(chosen, np.broadcast_to(value[:, :, 1:2], value.shape), rtol=1e-6)


@pytest.mark.parametrize("name", ["beit_every_part", "eva02_options"])
def test_programs_are_exported_for_all_platforms(name):
    network = read_network(SAVED / name)
    run = jax.jit(
        lambda params, x: run_network(network.encoder.module(), params, {}, x, train=False)[0]
    )
    images = jax.ShapeDtypeStruct((2, 24, 24, 3), jnp.float32)
    exported = jax.export.export(run, platforms=("cpu", "cuda", "tpu"))(network.params, images)
    assert exported.out_avals[0].shape == (2, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extras": None}, "positions='relative' needs"),
        ({"class_token": False}, "need class_token=True"),
        ({"extras": ViTExtras(relative_bias=True, registers=1)}, "no registers"),
        ({"extras": ViTExtras(rotary=GridRotaryPositions())}, "go together"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BIASED, **changes)


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
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


def test_eva_x_is_known_by_name_and_asks_for_its_pixels(tmp_path):
    folder = copied(tmp_path, "eva_x_small")
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


def test_panderm_is_known_by_name(tmp_path):
    folder = copied(tmp_path, "cae")
    (folder / "config.json").unlink()
    arguments = {"depth": 2}
    description = {"known": "panderm-base", "image_size": 24, "heads": 2}
    description |= {"configuration": {"model_args": arguments}}
    (folder / "encoder.json").write_text(json.dumps(description))
    network = read_network(folder)
    assert network.encoder == read_network(SAVED / "cae").encoder
    assert network.pixel_deviation == (0.228, 0.224, 0.225)


def test_the_table_that_all_blocks_share_learns_as_slowly_as_the_patches():
    """timm's groups of BEiT (group_matcher) have it in the stem."""
    network = read_network(SAVED / "beit_shared")
    numbers, last = layer_numbers({"encoder": network.params})
    assert last == 3
    assert numbers["encoder"]["relative_bias"] == 0
    assert numbers["encoder"]["patch_embedding"]["kernel"] == 0
    assert set(jax.tree.leaves(numbers["encoder"]["block_1"])) == {2}
