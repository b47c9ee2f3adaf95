"""Shared by all vision transformers of the library transformers: names and configurations."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.configuration import refuse_unknown_fields, whole_number
from examine_jax.models.weights.imported import ImportedNetwork, PixelNormalisation
from examine_jax.models.weights.positions import is_sincos, resample_positions
from examine_jax.models.weights.tensors import Tensors

# What `transformer_config` takes into account.
_FIELDS = frozenset(
    {"hidden_act", "hidden_size", "intermediate_size", "image_size", "patch_size", "num_channels"}
    | {"num_hidden_layers", "num_attention_heads", "layer_norm_eps", "qkv_bias"}
)


class BlockNames(NamedTuple):
    """The names of a block's parts."""

    norm_1: str
    norm_2: str
    expand: str
    contract: str


def transformer_config(
    configuration: Mapping[str, Any],
    where: str,
    *,
    mlp_width: int | None = None,
    default_epsilon: float = 1e-12,
    further: frozenset[str] = frozenset(),
    **fields: Any,
) -> ViTConfig:
    """A ViTConfig from a config.json of transformers.

    Args:
        configuration: the file's content.
        where: its path, for messages.
        mlp_width: None: the field intermediate_size.
        default_epsilon: of layer norms, where the file has none.
        further: fields of the file that the caller takes into account.
        fields: further fields of ViTConfig.

    Raises:
        ValueError: a field is missing, unsupported or unknown.
    """
    refuse_unknown_fields(configuration, _FIELDS | further, where)
    activation = configuration.get("hidden_act", "gelu")
    if activation != "gelu" and fields.get("mlp") != "swiglu":
        raise ValueError(f"{where}: hidden_act is {activation!r}; only 'gelu' can be read")
    try:
        return ViTConfig(
            width=whole_number(configuration, "hidden_size", where),
            mlp_width=mlp_width or whole_number(configuration, "intermediate_size", where),
            image_size=whole_number(configuration, "image_size", where),
            patch_size=whole_number(configuration, "patch_size", where),
            channels=whole_number(configuration, "num_channels", where),
            depth=whole_number(configuration, "num_hidden_layers", where),
            heads=whole_number(configuration, "num_attention_heads", where),
            layer_norm_epsilon=float(configuration.get("layer_norm_eps", default_epsilon)),
            positions="learned",
            qkv_bias=bool(configuration.get("qkv_bias", True)),
            **fields,
        )
    except (TypeError, ValueError) as error:
        message = str(error)
        raise ValueError(message if message.startswith(where) else f"{where}: {message}") from error


def read_transformer(
    tensors: Tensors,
    stored: ViTConfig,
    names: BlockNames,
    prefix: str,
    image_size: int | None,
    pixels: PixelNormalisation,
    *,
    fixed_positions: bool = False,
) -> ImportedNetwork:
    """A vision transformer's weights, with positions resampled for another image size.

    Args:
        tensors: the stored tensors.
        stored: the configuration that they were trained with.
        names: the names of a block's parts.
        prefix: what the encoder's names begin with.
        image_size: None: as trained.
        pixels: how pixels are normalised.
        fixed_positions: whether positions that equal the fixed sine-cosine ones become those.

    Raises:
        ValueError: a tensor is missing or of another shape.
    """
    prefix = prefix if f"{prefix}embeddings.cls_token" in tensors.arrays else ""
    params = encoder_parameters(tensors, stored, names, prefix)
    positions = tensors.take(
        f"{prefix}embeddings.position_embeddings", (1, 1 + stored.num_patches, stored.width)
    )[0]
    config = stored if image_size is None else dataclasses.replace(stored, image_size=image_size)
    if fixed_positions and config.num_patches == stored.num_patches and is_sincos(positions):
        config = dataclasses.replace(config, positions="sincos")
    else:
        params["positions"] = resample_positions(
            positions[1:], config.image_size // config.patch_size
        )
    params["class_token"] = params["class_token"] + positions[0]
    return ImportedNetwork(config, jax.tree.map(jnp.asarray, params), {}, *pixels)


def encoder_parameters(
    tensors: Tensors, config: ViTConfig, names: BlockNames, prefix: str
) -> dict[str, PyTree]:
    """Parameters of a VisionTransformer with a class token and a final norm, without positions."""
    filters = tensors.take(
        f"{prefix}embeddings.patch_embeddings.projection.weight",
        (config.width, config.channels, config.patch_size, config.patch_size),
    )
    blocks = {
        f"block_{i}": block_parameters(
            tensors,
            f"{prefix}encoder.layer.{i}",
            names,
            config.width,
            config.mlp_width,
            qkv_bias=config.qkv_bias,
            swiglu=config.mlp == "swiglu",
            layer_scale=config.layer_scale is not None,
        )
        for i in range(config.depth)
    }
    return {
        "patch_embedding": {
            # A kernel's rows run over (p, q, channel) here.
            "kernel": filters.transpose(2, 3, 1, 0).reshape(-1, config.width),
            "bias": tensors.take(
                f"{prefix}embeddings.patch_embeddings.projection.bias", (config.width,)
            ),
        },
        "class_token": tensors.take(f"{prefix}embeddings.cls_token", (1, 1, config.width)).reshape(
            -1
        ),
        **blocks,
        "norm": tensors.norm(f"{prefix}layernorm", config.width),
    }


def block_parameters(
    tensors: Tensors,
    name: str,
    names: BlockNames,
    width: int,
    mlp_width: int,
    *,
    qkv_bias: bool = True,
    swiglu: bool = False,
    layer_scale: bool = False,
) -> PyTree:
    """Parameters of one Block."""
    parts = [
        tensors.dense(f"{name}.attention.attention.{part}", width, width, qkv_bias)
        for part in ("query", "key", "value")
    ]
    block = {
        "norm_1": tensors.norm(f"{name}.{names.norm_1}", width),
        "attention": {
            "qkv": {
                key: np.concatenate([part[key] for part in parts], axis=-1) for key in parts[0]
            },
            "projection": tensors.dense(f"{name}.attention.output.dense", width, width),
        },
        "norm_2": tensors.norm(f"{name}.{names.norm_2}", width),
        "expand": tensors.dense(f"{name}.{names.expand}", width, (2 if swiglu else 1) * mlp_width),
        "contract": tensors.dense(f"{name}.{names.contract}", mlp_width, width),
    }
    if layer_scale:
        block |= {
            f"scale_{i}": tensors.take(f"{name}.layer_scale{i}.lambda1", (width,)) for i in (1, 2)
        }
    return block
