"""timm's BEiT and BEiT v2, and CAE's networks (PanDerm), which have the same names."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.common.on_device import on_device
from examine_jax.models.vit import ViTConfig, ViTExtras
from examine_jax.models.weights.block_parts import PartNames, add_block_parts, with_fused_biases
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork
from examine_jax.models.weights.relative_tables import side_of_table, table_by_timm
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import (
    count_blocks,
    heads_of,
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
from examine_jax.models.weights.transformer import (
    Biases,
    BlockNames,
    TransformerNames,
    is_on,
    read_transformer,
)

# (width, heads, depth) by name; names of timm 1.0.31 (timm/models/beit.py).
BEIT_SIZES = {
    **{f"beit_base_patch16_{size}": (768, 12, 12) for size in (224, 384)},
    **{f"beit_large_patch16_{size}": (1024, 16, 24) for size in (224, 384, 512)},
    "beitv2_base_patch16_224": (768, 12, 12),
    "beitv2_large_patch16_224": (1024, 16, 24),
}
# What all of these names say, and model_args may change.
BEIT_DEFAULTS: dict[str, Any] = {
    "qkv_bias": True,
    "init_values": True,
    "swiglu_mlp": False,
    "scale_mlp": False,
    "use_abs_pos_emb": False,
    "use_rel_pos_bias": True,
    "use_shared_rel_pos_bias": False,
}
_BLOCK = BlockNames(
    "norm1",
    "norm2",
    "mlp.fc1",
    "mlp.fc2",
    qkv=("attn.qkv",),
    projection="attn.proj",
    scale="gamma_{}",
)
GATED_BLOCK = _BLOCK._replace(gate="mlp.fc1_g", expand="mlp.fc1_x")
TIMM_NAMES = TransformerNames(
    _BLOCK,
    patches="patch_embed.proj",
    class_token="cls_token",
    registers="reg_token",
    positions="pos_embed",
    blocks="blocks.{}",
    norm="norm",
    embedding_norm="norm_pre",
)
_PREFIX = "encoder."  # of CAE's pretraining
_TABLE, _SHARED_TABLE = PartNames().table.format(0), PartNames().shared_table


@dataclasses.dataclass(frozen=True)
class TimmBEiTFamily:
    """BEiT under timm's names. The features are what timm's network gives its classifier.

    That is the mean of the patches and a norm, unless global_pool says otherwise; where timm gives
    all tokens, it is the class token. At another image size, tables are resampled as timm does it.
    """

    name: str = "timm's beit"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        architecture = configuration.get("architecture")
        return isinstance(architecture, str) and timm_name(architecture) in BEIT_SIZES

    def configuration_of(self, tensors: Tensors) -> dict[str, Any] | None:
        """What config.json would say of a file with BEiT's or CAE's names; None: it has others."""
        arrays = _without_prefix(tensors).arrays
        absolute = "pos_embed" in arrays and "blocks.0.gamma_1" in arrays
        relative = _TABLE in arrays or _SHARED_TABLE in arrays
        fused = arrays.get("blocks.0.attn.qkv.weight")
        if fused is None or fused.ndim != 2 or not (absolute or relative):
            return None
        width = fused.shape[1]
        facts = _facts(arrays)
        facts["global_pool"] = "avg" if "fc_norm.weight" in arrays else "token"
        size = "large" if width == BEIT_SIZES["beit_large_patch16_224"][0] else "base"
        return {"architecture": f"beit_{size}_patch16_224", "model_args": facts}

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        given = model_args(configuration, where)
        tensors = with_fused_biases(_without_prefix(stored.tensors))
        pool = pool_of(configuration, given)
        pool = "avg" if pool is None else pool
        config = _inferred(tensors, configuration, given, pool, where)
        network = read_transformer(
            tensors,
            config,
            TIMM_NAMES._replace(block=GATED_BLOCK if config.mlp == "swiglu" else _BLOCK),
            image_size,
            timm_pixels(stored, config.channels),
            biases=Biases(config.qkv_bias, config.qkv_bias, config.qkv_bias),
            antialias=True,
        )
        add_block_parts(network, tensors, config, PartNames(), table_by_timm)
        if config.parts.pooled_norm:
            norm = tensors.norm("fc_norm", config.width)
            network.params["pooled_norm"] = on_device(norm)
        tensors.refuse_unused(r"head\.|mask_token$|lm_head\.|.*relative_position_index$")
        return network


def _without_prefix(tensors: Tensors) -> Tensors:
    within = "cls_token" not in tensors.arrays and f"{_PREFIX}cls_token" in tensors.arrays
    return tensors.below(_PREFIX) if within else tensors


def _facts(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `BEIT_DEFAULTS` that the tensors have."""
    return {
        "qkv_bias": not {"blocks.0.attn.qkv.bias", "blocks.0.attn.q_bias"}.isdisjoint(arrays),
        "init_values": "blocks.0.gamma_1" in arrays,
        "swiglu_mlp": "blocks.0.mlp.fc1_g.weight" in arrays,
        "scale_mlp": "blocks.0.mlp.norm.weight" in arrays,
        "use_abs_pos_emb": "pos_embed" in arrays,
        "use_rel_pos_bias": _TABLE in arrays,
        "use_shared_rel_pos_bias": _SHARED_TABLE in arrays,
    }


def _inferred(
    tensors: Tensors,
    configuration: Mapping[str, Any],
    given: Mapping[str, Any],
    pool: Any,
    where: str,
) -> ViTConfig:
    """The configuration as stored."""
    width, channels, patch = square_patches(tensors, where)
    _, mlp_width = shape_of(tensors, "blocks.0.mlp.fc2.weight", 2)
    named = BEIT_SIZES[timm_name(configuration["architecture"])]
    heads = heads_of(named[:2], given, width, where)
    facts = _facts(tensors.arrays)
    depth = count_blocks(tensors)
    fc_norm = is_on(given, "use_fc_norm", where, default=pool == "avg")
    if pool not in ("", "avg", "token"):
        raise ValueError(f"{where}: global_pool is {pool!r}; there are '', 'avg' and 'token'")
    refuse_other_mlp_ratio(given, width, (mlp_width,), where)
    refuse_other_arguments(
        given,
        {"patch_size": patch, "in_chans": channels, "embed_dim": width, "depth": depth}
        | {name: fact for name, fact in facts.items() if name != "init_values"},
        ("num_heads", "global_pool", "img_size", "mlp_ratio", "use_fc_norm", "init_values"),
        where,
    )
    refuse_other_defaults(BEIT_DEFAULTS, given, facts, where)
    if given.get("depth") is None and width == named[0]:
        refuse_depth(depth, named[2], tensors.where)
    relative, shared = facts["use_rel_pos_bias"], facts["use_shared_rel_pos_bias"]
    side = _side(tensors, (_TABLE,) * relative + (_SHARED_TABLE,) * shared, patch, given, where)
    parts = ViTExtras(
        mlp_norm=facts["scale_mlp"],
        relative_bias=relative,
        shared_relative_bias=shared,
        pooled_norm=fc_norm,
    )
    try:
        return ViTConfig(
            image_size=side * patch,
            patch_size=patch,
            channels=channels,
            width=width,
            depth=depth,
            heads=heads,
            mlp_width=mlp_width,
            pooling="mean" if pool == "avg" else "class_token",
            final_norm=not fc_norm,
            positions="learned" if facts["use_abs_pos_emb"] else "relative",
            qkv_bias=facts["qkv_bias"],
            mlp="swiglu" if facts["swiglu_mlp"] else "gelu",
            layer_scale=1.0 if facts["init_values"] else None,
            extras=None if parts == ViTExtras() else parts,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _side(
    tensors: Tensors, tables: tuple[str, ...], patch: int, given: Mapping[str, Any], where: str
) -> int:
    """Patches in a row, which positions and tables tell; where they differ, one is refused."""
    if not tables:
        return position_grid(shape_of(tensors, "pos_embed", 3)[1], 1, None, patch, given, where)[1]
    rows = shape_of(tensors, tables[0], 2)[0]
    side = side_of_table(rows)
    if side is None:
        raise ValueError(
            f"{tensors.where}: the tensor {tables[0]} has {rows} rows, which are not those of a "
            "square of patches"
        )
    return side
