"""BEiTs give their libraries' features, or an error.

golden/make_encoders_beit_eva.py made the folders and the features; benchmarks/quality/
encoder_parity.py compares all of them at all sizes, also in bfloat16.
"""

import dataclasses
import functools
import json

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
        ("beit", 32),
        ("beit_every_part", 16),
        ("hf_beit_every_part", 32),
        ("hf_beit_masked", 16),
        ("hf_data2vec", 32),
    ],
)
def test_features_equal_the_source_librarys(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert library_error(network, golden, name, size) <= 1e-5


def test_names_on_disk_and_in_memory_are_one_network():
    networks = [read_network(SAVED / f"hf_beit_every_part{end}") for end in ("", "_in_memory")]
    assert networks[0].encoder == networks[1].encoder
    assert same_arrays(networks[0].params, networks[1].params)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("beit", {"num_heads": 4}),
        ("beit", {"global_pool": "token", "use_fc_norm": True}),
        ("hf_beit", {"layer_norm_eps": 1e-6}),
        ("hf_beit", {"hidden_act": "quick_gelu"}),
        ("hf_beit_masked", {"use_mean_pooling": False}),
    ],
)
def test_a_field_that_the_tensors_do_not_tell_changes_the_network(tmp_path, name, changes):
    folder = copied(SAVED / name, tmp_path)
    if "num_heads" in changes:  # its tables have a column a head
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
        ("beit", {"use_fc_norm": False}, "lacks the tensor norm.weight"),
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
    ],
)
def test_a_field_that_the_tensors_gainsay_or_that_is_unknown_is_named(
    tmp_path, name, changes, message
):
    folder = copied(SAVED / name, tmp_path)
    with_configuration(folder, **changes)
    with pytest.raises(
        ValueError, match="relative_position_bias" if "num_heads" in changes else message
    ):
        read_network(folder)


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
    ],
)
def test_missing_misshapen_and_left_over_tensors_are_named(tmp_path, name, change, message):
    folder = copied(SAVED / name, tmp_path)
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
    assert same_arrays(network.params, expected.params)


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


@pytest.mark.parametrize("name", ["beit_every_part"])
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


def test_panderm_is_known_by_name(tmp_path):
    folder = copied(SAVED / "cae", tmp_path)
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
