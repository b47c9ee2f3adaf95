"""timm's EVA, EVA-02 and rotary vision transformers; EVA-02's and EVA-X's own names too."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.models.rotary_positions import GridRotaryPositions
from examine_jax.models.vit import ViTConfig, ViTExtras
from examine_jax.models.weights.block_parts import PartNames, add_block_parts, with_fused_biases
from examine_jax.models.weights.configuration import positive_number, whole_number
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork
from examine_jax.models.weights.relative_tables import table_by_timm
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import (
    count_blocks,
    heads_of,
    image_size_of,
    model_args,
    pool_of,
    position_grid,
    refuse_depth,
    refuse_other_arguments,
    refuse_other_defaults,
    refuse_other_mlp_ratio,
    shape_of,
    square_patches,
    timm_name,
    timm_pixels,
)
from examine_jax.models.weights.timm_beit import GATED_BLOCK, TIMM_NAMES
from examine_jax.models.weights.transformer import Biases, is_on, read_transformer, renamed

# (width, heads, depth) by name; names of timm 1.0.31 (timm/models/eva.py). Those of other attention
# or rotary positions (the perception encoder's, "mixed", "gated") are not here.
EVA_SIZES = {
    "eva_giant_patch14_224": (1408, 16, 40),
    "eva_giant_patch14_336": (1408, 16, 40),
    "eva_giant_patch14_560": (1408, 16, 40),
    "eva_giant_patch14_clip_224": (1408, 16, 40),
    "eva02_tiny_patch14_224": (192, 3, 12),
    "eva02_tiny_patch14_336": (192, 3, 12),
    "eva02_small_patch14_224": (384, 6, 12),
    "eva02_small_patch14_336": (384, 6, 12),
    "eva02_base_patch14_224": (768, 12, 12),
    "eva02_base_patch14_448": (768, 12, 12),
    "eva02_base_patch16_clip_224": (768, 12, 12),
    "eva02_large_patch14_224": (1024, 16, 24),
    "eva02_large_patch14_448": (1024, 16, 24),
    "eva02_large_patch14_clip_224": (1024, 16, 24),
    "eva02_large_patch14_clip_336": (1024, 16, 24),
    "eva02_enormous_patch14_clip_224": (1792, 16, 64),
    "vit_medium_patch16_rope_reg1_gap_256": (512, 8, 12),
    "vit_mediumd_patch16_rope_reg1_gap_256": (512, 8, 20),
    "vit_betwixt_patch16_rope_reg4_gap_256": (640, 10, 12),
    "vit_base_patch16_rope_reg1_gap_256": (768, 12, 12),
}
_APART = ("attn.q_proj", "attn.k_proj", "attn.v_proj")
# Arguments that `_inferred` takes into account; the last change training alone.
_TAKEN = (
    *("num_heads", "global_pool", "img_size", "mlp_ratio", "use_fc_norm", "init_values"),
    *("use_post_transformer_norm", "use_rot_pos_emb", "use_post_norm", "ref_feat_shape"),
    *("rope_temperature", "swiglu_align_to", "qkv_fused", "head_init_scale"),
    *("rope_shift_coords", "rope_jitter_coords", "rope_rescale_coords"),
)
# EVA-02's own names (baaivision), which EVA-X has.
_OWN_NAMES = (
    (r"\.mlp\.ffn_ln\.", ".mlp.norm."),
    (r"\.attn\.inner_attn_ln\.", ".attn.norm."),
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.w1\.", ".mlp.fc1_g."),
    (r"\.mlp\.w2\.", ".mlp.fc1_x."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
)
_ROPE = ("rope.freqs_cos", "rope.freqs_sin")


@dataclasses.dataclass(frozen=True)
class TimmEVAFamily:
    """EVA and EVA-02 under timm's or their own names, with timm's features.

    They are the mean of the patches and a norm, or the class token of the CLIP variants; where timm
    gives all tokens, the class token. A file of masked pretraining has a norm before its decoder:
    it stands after the mean, as where timm reads such a file.
    """

    name: str = "timm's eva"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        architecture = configuration.get("architecture")
        return isinstance(architecture, str) and timm_name(architecture) in EVA_SIZES

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        given = model_args(configuration, where)
        name = timm_name(configuration["architecture"])
        pool = pool_of(configuration, given)
        pool = ("token" if "_clip_" in name else "avg") if pool is None else pool
        if pool not in ("", "avg", "token"):
            raise ValueError(f"{where}: global_pool is {pool!r}; what can be read: avg, token, ''")
        tensors = _with_timms_names(stored.tensors, pool)
        said = image_size or image_size_of(configuration, given, where)
        config, position_rows = _inferred(tensors, name, given, pool, said, where)
        apart = "blocks.0.attn.q_proj.weight" in tensors.arrays
        split = "blocks.0.mlp.fc1_g.weight" in tensors.arrays
        block = GATED_BLOCK if split else TIMM_NAMES.block
        if apart:
            block = block._replace(qkv=_APART)
        bias = config.qkv_bias
        network = read_transformer(
            tensors,
            config,
            TIMM_NAMES._replace(block=block),
            image_size,
            timm_pixels(stored, config.channels),
            biases=Biases(bias, bias and not apart, bias, patches=not config.parts.embedding_norm),
            position_rows=position_rows,
            antialias=True,
        )
        add_block_parts(network, tensors, config, PartNames(), table_by_timm)
        if config.parts.pooled_norm:
            norm = tensors.norm("fc_norm", config.width)
            network.params["pooled_norm"] = on_device(norm)
        _check_rotary_tables(tensors, config)
        tensors.refuse_unused(rf"head\.|mask_token$|lm_head\.|(.*\.)?({'|'.join(_ROPE)})$")
        return network


def eva_defaults(name: str) -> dict[str, Any]:
    """What a name says, and model_args may change."""
    second = name.startswith("eva02_") and "enormous" not in name
    large = second and any(size in name for size in ("_base_", "_large_"))
    plain = name.startswith("vit_")
    return {
        "qkv_bias": "mediumd" not in name,
        "qk_norm": False,
        "init_values": plain,
        "swiglu_mlp": second,
        "scale_mlp": large,
        "scale_attn_inner": large and "_clip_" in name,
        "use_abs_pos_emb": not plain,
        "use_pre_transformer_norm": False,
        "class_token": not plain,
        "num_reg_tokens": int(name.split("_reg")[1][0]) if plain else 0,
    }


def _inferred(
    tensors: Tensors,
    name: str,
    given: Mapping[str, Any],
    pool: str,
    said_size: int | None,
    where: str,
) -> tuple[ViTConfig, int | None]:
    """(configuration as stored, tokens with a position before the patches)."""
    arrays, defaults = tensors.arrays, eva_defaults(name)
    width, channels, patch = square_patches(tensors, where)
    _, mlp_width = shape_of(tensors, "blocks.0.mlp.fc2.weight", 2)
    split = "blocks.0.mlp.fc1_g.weight" in arrays
    gated = split or shape_of(tensors, "blocks.0.mlp.fc1.weight", 2)[0] == 2 * mlp_width
    registers = shape_of(tensors, "reg_token", 3)[1] if "reg_token" in arrays else 0
    class_token, absolute = "cls_token" in arrays, "pos_embed" in arrays
    biased = ("attn.qkv.bias", "attn.q_proj.bias")
    facts: dict[str, Any] = {
        "qkv_bias": any(f"blocks.0.{part}" in arrays for part in biased),
        "qk_norm": "blocks.0.attn.q_norm.weight" in arrays,
        "init_values": "blocks.0.gamma_1" in arrays,
        "swiglu_mlp": gated,
        "scale_mlp": "blocks.0.mlp.norm.weight" in arrays,
        "scale_attn_inner": "blocks.0.attn.norm.weight" in arrays,
        "use_abs_pos_emb": absolute,
        "use_pre_transformer_norm": "norm_pre.weight" in arrays,
        "class_token": class_token,
        "num_reg_tokens": registers,
    }
    leading = int(class_token) + registers
    if absolute:
        count = shape_of(tensors, "pos_embed", 3)[1]
        rows, side = position_grid(count, leading, said_size, patch, given, where)
        size, no_embed = side * patch, rows < leading
    else:
        size, rows, no_embed = said_size or int(name.rsplit("_", 1)[1]), None, None
    depth = count_blocks(tensors)
    refuse_other_defaults(defaults, given, facts, where)
    _check_arguments(
        given,
        {name: fact for name, fact in facts.items() if name != "init_values"}
        | {"patch_size": patch, "in_chans": channels, "embed_dim": width, "depth": depth}
        | {"no_embed_class": no_embed if leading and absolute else given.get("no_embed_class")},
        width,
        # A gated MLP's width may be rounded up, by less than swiglu_align_to.
        range(mlp_width - 63, mlp_width + 1) if split else (mlp_width,),
        where,
    )
    if given.get("depth") is None and width == EVA_SIZES[name][0]:
        refuse_depth(depth, EVA_SIZES[name][2], tensors.where)
    fc_norm = is_on(given, "use_fc_norm", where, default=pool == "avg")
    final_norm = is_on(given, "use_post_transformer_norm", where, default=not fc_norm)
    if pool == "token" and not class_token:
        raise ValueError(f"{where}: global_pool is 'token', but the file has no class token")
    parts = ViTExtras(
        registers=registers,
        embedding_norm=facts["use_pre_transformer_norm"],
        query_key_norm=facts["qk_norm"],
        norm_after=is_on(given, "use_post_norm", where, default="enormous" in name),
        attention_norm=facts["scale_attn_inner"],
        mlp_norm=facts["scale_mlp"],
        rotary=rotary_of(name, given, where),
        pooled_norm=fc_norm,
    )
    try:
        config = ViTConfig(
            image_size=size,
            patch_size=patch,
            channels=channels,
            width=width,
            depth=depth,
            heads=heads_of(EVA_SIZES[name][:2], given, width, where),
            mlp_width=mlp_width,
            class_token=class_token,
            pooling="mean" if pool == "avg" or not class_token else "class_token",
            final_norm=final_norm,
            positions="learned" if absolute else "rotary",
            qkv_bias=facts["qkv_bias"],
            mlp="swiglu" if gated else "gelu",
            layer_scale=1.0 if facts["init_values"] else None,
            extras=None if parts == ViTExtras() else parts,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return config, rows


def _check_arguments(
    given: Mapping[str, Any],
    facts: Mapping[str, Any],
    width: int,
    hidden_widths: Any,
    where: str,
) -> None:
    fixed = {
        "attn_type": "eva",
        "rope_type": "cat",
        "rope_grid_offset": 0,
        "rope_grid_indexing": "ij",
        "rope_rotate_half": False,
        "attn_only_layer_scale": False,
        "num_kv_heads": given.get("num_heads"),
    }
    refuse_other_mlp_ratio(given, width, hidden_widths, where)
    refuse_other_arguments(given, {**facts, **fixed}, _TAKEN, where)


def rotary_of(name: str, given: Mapping[str, Any], where: str) -> GridRotaryPositions | None:
    """The rotary positions that a name and model_args say; None: it has none."""
    default = (name.startswith("eva02_") and "enormous" not in name) or name.startswith("vit_")
    if not is_on(given, "use_rot_pos_emb", where, default=default):
        return None
    reference = given.get("ref_feat_shape", 16 if default else None)
    if reference is not None:
        reference = whole_number({"ref_feat_shape": reference}, "ref_feat_shape", where)
    base = positive_number(given, "rope_temperature", 10000.0, where)
    return GridRotaryPositions(base, None if reference is None else float(reference))


def _with_timms_names(tensors: Tensors, pool: str) -> Tensors:
    """The tensors under timm's names; the norm of masked pretraining stands after the mean."""
    patterns: tuple[tuple[str, str], ...] = _OWN_NAMES
    if "blocks.0.attn.q_proj.weight" in tensors.arrays:
        patterns += ((r"\.attn\.([qv])_bias$", r".attn.\1_proj.bias"),)
    masked = "mask_token" in tensors.arrays and "fc_norm.weight" not in tensors.arrays
    if masked and pool == "avg":
        patterns += ((r"^norm\.", "fc_norm."),)
    return with_fused_biases(renamed(tensors, patterns))


def _check_rotary_tables(tensors: Tensors, config: ViTConfig) -> None:
    """Raises a ValueError if a file's tables of rotary positions are others than the network's.

    They hold what the configuration says alone: the scale of the places, and the angles' base.
    """
    rotary, head_width = config.parts.rotary, config.width // config.heads
    for name, table in tensors.arrays.items():
        kind = next((place for place in _ROPE if name.endswith(place)), None)
        if kind is None:
            continue
        side = round(table.shape[0] ** 0.5) if table.ndim == 2 else 0
        fits = rotary is not None and side > 0 and table.shape == (side * side, head_width)
        if fits and rotary is not None:
            ours = rotary.turns(side, head_width)[_ROPE.index(kind)][:, : head_width // 2]
            fits = bool(np.abs(np.repeat(ours, 2, axis=1) - table).max() < 1e-2)
        if not fits:
            raise ValueError(
                f"{tensors.where}: the tensor {name} holds other rotary positions than {rotary}; "
                'say them in encoder.json: {"configuration": {"model_args": {"ref_feat_shape": '
                '..., "rope_temperature": ...}}}'
            )
