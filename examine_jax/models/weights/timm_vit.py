"""timm's vision transformers: what config.json leaves out is read from the tensors' shapes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.attention_pooling import AttentionPooling
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.vit import Pooling, ViTConfig, ViTExtras
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_architectures import TIMM_ARCHITECTURES, TimmArchitecture
from examine_jax.models.weights.timm_arguments import (
    count_blocks,
    heads_of,
    image_size_of,
    model_args,
    pool_of,
    position_grid,
    refuse_depth,
    refuse_other_arguments,
    refuse_other_mlp_ratio,
    refuse_registers,
    shape_of,
    square_patches,
    timm_name,
    timm_pixels,
)
from examine_jax.models.weights.transformer import (
    GATED,
    Biases,
    BlockNames,
    TransformerNames,
    read_transformer,
)

_BLOCK = BlockNames(
    "norm1",
    "norm2",
    "mlp.fc1",
    "mlp.fc2",
    qkv=("attn.qkv",),
    projection="attn.proj",
    scale="ls{}.gamma",
)
TIMM_VIT_NAMES = TransformerNames(
    _BLOCK,
    patches="patch_embed.proj",
    class_token="cls_token",
    registers="reg_token",
    positions="pos_embed",
    blocks="blocks.{}",
    norm="norm",
    embedding_norm="norm_pre",
)
# Arguments that `_inferred` takes into account.
_TAKEN = ("num_heads", "act_layer", "global_pool", "img_size", "mlp_ratio", "init_values")
# timm's names of activations.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "quickgelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}
_POOLING: dict[str, Pooling] = {"token": "class_token", "avg": "mean", "map": "attention"}


@dataclasses.dataclass(frozen=True)
class TimmViTFamily:
    """timm's vision transformers. The features are what timm's network gives its classifier.

    Where timm gives all tokens (global_pool ""), they are the class token. What is not in
    config.json's model_args is read from the tensors; a model_args that says otherwise is refused.
    A packed gated MLP's gate is SiLU unless model_args has an act_layer.
    """

    name: str = "timm's vit"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        architecture = configuration.get("architecture")
        return isinstance(architecture, str) and timm_name(architecture) in TIMM_ARCHITECTURES

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, tensors = stored.configuration, stored.tensors
        architecture = TIMM_ARCHITECTURES[timm_name(configuration["architecture"])]
        given = model_args(configuration, stored.where)
        size = image_size or image_size_of(configuration, given, stored.where)
        config, biases, position_rows = _inferred(tensors, architecture, given, size, stored)
        network = read_transformer(
            tensors,
            config,
            TIMM_VIT_NAMES,
            size or config.image_size,
            timm_pixels(stored, config.channels),
            biases=biases,
            position_rows=position_rows,
            antialias=True,
        )
        network.params.update(_pooling_parameters(tensors, config))
        tensors.refuse_unused(r"head(_dist|_drop)?\.")
        return network


def _inferred(
    tensors: Tensors,
    architecture: TimmArchitecture,
    given: Mapping[str, Any],
    said_size: int | None,
    stored: StoredNetwork,
) -> tuple[ViTConfig, Biases, int]:
    """(configuration as stored, biases, tokens with a position before the patches)."""
    where, arrays = stored.where, tensors.arrays
    width, channels, patch = square_patches(tensors, where)
    hidden, _ = shape_of(tensors, "blocks.0.mlp.fc1.weight", 2)
    _, mlp_width = shape_of(tensors, "blocks.0.mlp.fc2.weight", 2)
    gated = hidden == 2 * mlp_width
    class_token = "cls_token" in arrays
    named = given.get("class_token", architecture.class_token)
    if class_token != named:
        raise ValueError(
            f"{tensors.where} {'holds' if class_token else 'lacks'} the tensor cls_token, but the "
            f"class_token of timm's network of this name is {named!r}"
        )
    registers = shape_of(tensors, "reg_token", 3)[1] if "reg_token" in arrays else 0
    leading = int(class_token) + registers
    position_rows, side = position_grid(
        shape_of(tensors, "pos_embed", 3)[1], leading, said_size, patch, given, where
    )
    heads = heads_of((architecture.width, architecture.heads), given, width, where)
    plain = _plain_mlp(architecture, given, gated, where)
    qkv = "blocks.0.attn.qkv.bias" in arrays
    parts = ViTExtras(
        registers=registers,
        embedding_norm="norm_pre.weight" in arrays,
        query_key_norm="blocks.0.attn.q_norm.weight" in arrays,
        norm_after=architecture.norm_after,
        attention_pooling=_attention_pooling(tensors, heads, plain),
        pooled_norm="fc_norm.weight" in arrays,
    )
    try:
        config = ViTConfig(
            image_size=side * patch,
            patch_size=patch,
            channels=channels,
            width=width,
            depth=count_blocks(tensors),
            heads=heads,
            mlp_width=mlp_width,
            class_token=class_token,
            pooling=_pooling(parts, given, stored, class_token),
            final_norm="norm.weight" in arrays,
            layer_norm_epsilon=architecture.epsilon,
            positions="learned",
            qkv_bias=qkv,
            mlp=GATED[plain] if gated else plain,
            layer_scale=1.0 if "blocks.0.ls1.gamma" in arrays else None,
            extras=None if parts == ViTExtras() else parts,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    _check_arguments(given, config, position_rows < leading, where)
    _check_name(architecture, given, config, tensors)
    biases = Biases(qkv, qkv, qkv, patches=not parts.embedding_norm)
    return config, biases, position_rows


def _plain_mlp(
    architecture: TimmArchitecture, given: Mapping[str, Any], gated: bool, where: str
) -> str:
    name = given.get("act_layer")
    if name is None:
        return "silu" if gated else architecture.mlp
    plain = _ACTIVATIONS.get(name.lower()) if isinstance(name, str) else None
    if plain is None or (gated and plain not in GATED):
        raise ValueError(
            f"{where}: act_layer is {name!r}; what can be read: "
            f"{', '.join(GATED if gated else _ACTIVATIONS)}"
        )
    return plain


def _attention_pooling(tensors: Tensors, heads: int, mlp: str) -> AttentionPooling | None:
    if "attn_pool.latent" not in tensors.arrays:
        return None
    hidden, _ = shape_of(tensors, "attn_pool.mlp.fc1.weight", 2)
    return AttentionPooling(heads, hidden, mlp)


def _pooling(
    parts: ViTExtras, given: Mapping[str, Any], stored: StoredNetwork, class_token: bool
) -> Pooling:
    said = given.get("global_pool")
    if said is None:
        if parts.attention_pooling is not None:
            return "attention"
        said = pool_of(stored.configuration, given)
        # timm's norm after the pooling is the mean's, unless it is asked for.
        if parts.pooled_norm and said == "token" and not given.get("fc_norm"):
            said = None
    if said is None:
        return "mean" if parts.pooled_norm or not class_token else "class_token"
    if said == "" or (said == "token" and not class_token):
        return "class_token" if class_token else "mean"
    if not isinstance(said, str) or (said not in _POOLING and stored.description.feature is None):
        raise ValueError(
            f"{stored.where}: global_pool is {said!r}; what can be read: "
            f'{", ".join(_POOLING)}; or say the feature in encoder.json: {{"feature": ...}}'
        )
    return _POOLING.get(said, "mean")


def _check_arguments(
    given: Mapping[str, Any], config: ViTConfig, no_embed_class: bool, where: str
) -> None:
    """Raises a ValueError if model_args says something else than the tensors, or something new."""
    parts, gated = config.parts, MLP_FORMS[config.mlp].gated
    hidden = config.mlp_width
    refuse_other_mlp_ratio(
        given, config.width, (2 * hidden, 2 * hidden + 1) if gated else (hidden,), where
    )
    scale = given.get("init_values")
    if bool(scale) and config.layer_scale is None:
        raise ValueError(f"{where}: init_values is {scale!r}, but the file has no layer scale")
    facts = {
        "patch_size": config.patch_size,
        "in_chans": config.channels,
        "embed_dim": config.width,
        "depth": config.depth,
        "qkv_bias": config.qkv_bias,
        "qk_norm": parts.query_key_norm,
        "class_token": config.class_token,
        "reg_tokens": parts.registers,
        "pre_norm": parts.embedding_norm,
        "final_norm": config.final_norm or parts.pooled_norm,
        "fc_norm": parts.pooled_norm,
        # Without tokens before the patches it says nothing.
        "no_embed_class": no_embed_class if config.leading else given.get("no_embed_class"),
        "proj_bias": True,
        "scale_attn_norm": False,
        "scale_mlp_norm": False,
        "pos_embed": "learn",
        "pool_include_prefix": False,
    }
    refuse_other_arguments(given, facts, _TAKEN, where)


def _check_name(
    architecture: TimmArchitecture, given: Mapping[str, Any], config: ViTConfig, tensors: Tensors
) -> None:
    """Raises a ValueError if the file lacks, or has, what its name says otherwise."""
    normed = config.final_norm or config.parts.pooled_norm
    if not normed and given.get("final_norm", architecture.last_norm) is not False:
        raise ValueError(f"{tensors.where} lacks the tensor norm.weight [{config.width}]")
    if "reg_tokens" not in given and architecture.registers > config.parts.registers:
        refuse_registers(config.parts.registers, architecture.registers, tensors.where)
    if given.get("depth") is None and config.width == architecture.width:
        refuse_depth(config.depth, architecture.depth, tensors.where)


def _pooling_parameters(tensors: Tensors, config: ViTConfig) -> dict[str, PyTree]:
    """The parameters of what follows the final norm, under timm's names."""
    parts, width = config.parts, config.width
    params: dict[str, PyTree] = {}
    if parts.pooled_norm:
        params["pooled_norm"] = tensors.norm("fc_norm", width)
    pooler = parts.attention_pooling
    if isinstance(pooler, AttentionPooling):
        params["attention_pooling"] = {
            "query": tensors.take("attn_pool.latent", (1, 1, width)).reshape(width),
            "query_projection": tensors.dense("attn_pool.q", width, width),
            "keys_values": tensors.dense("attn_pool.kv", width, 2 * width),
            "projection": tensors.dense("attn_pool.proj", width, width),
            "norm": tensors.norm("attn_pool.norm", width),
            "expand": tensors.dense("attn_pool.mlp.fc1", width, pooler.mlp_width),
            "contract": tensors.dense("attn_pool.mlp.fc2", pooler.mlp_width, width),
        }
    return on_device(params)
