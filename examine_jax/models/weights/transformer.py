"""Shared by all families of vision transformers: names, configurations and parameters."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.configuration import (
    is_number,
    refuse_unknown_fields,
    whole_number,
)
from examine_jax.models.weights.imported import ImportedNetwork, PixelNormalisation
from examine_jax.models.weights.positions import is_sincos, resample_positions
from examine_jax.models.weights.tensors import Tensors

# What `transformer_config` takes into account.
_FIELDS = frozenset(
    {"hidden_act", "hidden_size", "intermediate_size", "image_size", "patch_size", "num_channels"}
    | {"num_hidden_layers", "num_attention_heads", "layer_norm_eps", "qkv_bias"}
)
# transformers' names of activations, and the plain MLPs that have them.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}
# The gated MLPs whose gate has these activations.
GATED = {"silu": "swiglu", "gelu": "geglu", "gelu_tanh": "geglu_tanh"}


class BlockNames(NamedTuple):
    """The names of a block's parts.

    Attributes:
        norm_1, norm_2, expand, contract: as in `Block`.
        qkv: of queries, keys and values: three names, or one of all three, fused.
        projection: of what follows the attention.
        scale: of layer scales; the number 1 or 2 goes into its braces.
        gate: of a gated MLP's gate; None: the first half of `expand`.
        query_norm, key_norm: of the norms of queries and keys.
    """

    norm_1: str
    norm_2: str
    expand: str
    contract: str
    qkv: tuple[str, ...] = (
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
    )
    projection: str = "attention.output.dense"
    scale: str = "layer_scale{}.lambda1"
    gate: str | None = None
    query_norm: str = "attn.q_norm"
    key_norm: str = "attn.k_norm"


class Biases(NamedTuple):
    """Which dense layers have a bias in the file; the others get zeros."""

    query: bool = True
    key: bool = True
    value: bool = True
    projection: bool = True
    mlp: bool = True
    patches: bool = True


class TransformerNames(NamedTuple):
    """The names of an encoder's tensors.

    Attributes:
        block: the names within a block.
        patches: of the patch embedding.
        class_token, registers, positions: of tensors of tokens, one row a token.
        blocks: of a block; its number goes into the braces.
        norm, embedding_norm: of the norms after and before the blocks.
    """

    block: BlockNames
    patches: str = "embeddings.patch_embeddings.projection"
    class_token: str = "embeddings.cls_token"
    registers: str = "embeddings.register_tokens"
    positions: str = "embeddings.position_embeddings"
    blocks: str = "encoder.layer.{}"
    norm: str = "layernorm"
    embedding_norm: str = "norm_pre"

    def below(self, prefix: str) -> "TransformerNames":
        """The names where all tensors begin with a prefix."""
        return self._replace(
            **{field: prefix + getattr(self, field) for field in self._fields if field != "block"}
        )


def renamed(tensors: Tensors, patterns: Sequence[tuple[str, str]]) -> Tensors:
    """The tensors under other names: each pattern, in turn, is replaced in all names."""

    def rename(name: str) -> str:
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        return name

    arrays = {rename(name): array for name, array in tensors.arrays.items()}
    return dataclasses.replace(tensors, arrays=arrays)


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
        fields: further fields of ViTConfig. Without `mlp`, hidden_act says which.

    Raises:
        ValueError: a field is missing, unsupported or unknown.
    """
    refuse_unknown_fields(configuration, _FIELDS | further, where)
    if "mlp" not in fields:
        fields["mlp"] = activation(configuration, where)
    return ViTConfig(
        **{
            "positions": "learned",
            "qkv_bias": is_on(configuration, "qkv_bias", where, default=True),
            **fields,
        },
        width=whole_number(configuration, "hidden_size", where),
        mlp_width=mlp_width or whole_number(configuration, "intermediate_size", where),
        image_size=whole_number(configuration, "image_size", where),
        patch_size=whole_number(configuration, "patch_size", where),
        channels=whole_number(configuration, "num_channels", where),
        depth=whole_number(configuration, "num_hidden_layers", where),
        heads=whole_number(configuration, "num_attention_heads", where),
        layer_norm_epsilon=_epsilon(configuration, default_epsilon, where),
    )


def _epsilon(configuration: Mapping[str, Any], default: float, where: str) -> float:
    value = configuration.get("layer_norm_eps", default)
    if not is_number(value):
        raise ValueError(f"{where}: layer_norm_eps is {value!r:.40}; it must be a number from 0")
    return float(value)


def is_on(configuration: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    """A field that is true or false.

    Raises:
        ValueError: it is something else.
    """
    value = configuration.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ValueError(f"{where}: {name} is {value!r}; it must be true or false")
    return value


def activation(configuration: Mapping[str, Any], where: str, *, default: str = "gelu") -> str:
    """The plain MLP of MLP_FORMS that hidden_act names.

    Raises:
        ValueError: it names an activation that is not known here.
    """
    name = configuration.get("hidden_act", default)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(
            f"{where}: hidden_act is {name!r}; what can be read: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def read_transformer(
    tensors: Tensors,
    stored: ViTConfig,
    names: TransformerNames,
    image_size: int | None,
    pixels: PixelNormalisation,
    *,
    biases: Biases | None = None,
    position_rows: int | None = None,
    fixed_positions: bool = False,
    antialias: bool = False,
    offset: float = 0.0,
) -> ImportedNetwork:
    """A vision transformer's weights, with positions resampled for another image size.

    A projection, an attention pooling and a norm after the pooling are the caller's.

    Args:
        tensors: the stored tensors.
        stored: the configuration that they were trained with.
        names: their names.
        image_size: None: as trained.
        pixels: how pixels are normalised.
        biases: which dense layers have one; None: all, but queries, keys and values as `stored`
            says.
        position_rows: the tokens before the patches that have a position, which is added to them;
            None: the class token, if there is one.
        fixed_positions: whether positions that equal the fixed sine-cosine ones become those.
        antialias: whether the positions' resampling widens its kernel when it shrinks a grid.
        offset: as in `resample_positions`.

    Raises:
        ValueError: a tensor is missing or of another shape.
    """
    params = encoder_parameters(tensors, stored, names, biases)
    try:
        config = dataclasses.replace(stored, image_size=image_size or stored.image_size)
    except ValueError as error:
        raise ValueError(f"{tensors.where}: {error}; give another image_size") from error
    if stored.positions == "learned":
        leading = int(stored.class_token) if position_rows is None else position_rows
        positions = rows(tensors, names.positions, leading + stored.num_patches, stored.width)
        if fixed_positions and config.num_patches == stored.num_patches and is_sincos(positions):
            config = dataclasses.replace(config, positions="sincos")
        else:
            params["positions"] = resample_positions(
                positions[leading:],
                config.image_size // config.patch_size,
                antialias=antialias,
                offset=offset,
            )
        if stored.class_token and leading:
            params["class_token"] = params["class_token"] + positions[0]
        first = int(stored.class_token)
        if leading > first:
            params["registers"] = params["registers"] + positions[first:leading]
    return ImportedNetwork(config, on_device(params), {}, *pixels)


def encoder_parameters(
    tensors: Tensors, config: ViTConfig, names: TransformerNames, biases: Biases | None = None
) -> dict[str, PyTree]:
    """Parameters of a VisionTransformer without its positions and what follows its final norm."""
    biases = biases or Biases(config.qkv_bias, config.qkv_bias, config.qkv_bias)
    filters = tensors.take(
        f"{names.patches}.weight",
        (config.width, config.channels, config.patch_size, config.patch_size),
    )
    bias = (
        tensors.take(f"{names.patches}.bias", (config.width,))
        if biases.patches
        else np.zeros(config.width, np.float32)
    )
    params: dict[str, PyTree] = {
        # A kernel's rows run over (p, q, channel) here.
        "patch_embedding": {
            "kernel": filters.transpose(2, 3, 1, 0).reshape(-1, config.width),
            "bias": bias,
        }
    }
    if config.class_token:
        params["class_token"] = rows(tensors, names.class_token, 1, config.width)[0]
    if config.parts.registers:
        params["registers"] = rows(tensors, names.registers, config.parts.registers, config.width)
    if config.parts.embedding_norm:
        params["embedding_norm"] = tensors.norm(names.embedding_norm, config.width)
    for i in range(config.depth):
        params[f"block_{i}"] = block_parameters(
            tensors,
            names.blocks.format(i),
            names.block,
            config.width,
            config.mlp_width,
            biases=biases,
            mlp=config.mlp,
            layer_scale=config.layer_scale is not None,
            norm_width=config.width // config.heads if config.parts.query_key_norm else None,
        )
    if config.final_norm:
        params["norm"] = tensors.norm(names.norm, config.width)
    return params


def rows(tensors: Tensors, name: str, count: int, width: int) -> np.ndarray:
    """A tensor of tokens, [1, count, width] or [count, width] in the file, as [count, width].

    Raises:
        ValueError: it is missing or of another shape.
    """
    array = tensors.arrays.get(name)
    flat = array is not None and array.ndim < 3
    shape = (width,) if flat and array.ndim == 1 and count == 1 else (count, width)  # type: ignore[union-attr]
    return tensors.take(name, shape if flat else (1, count, width)).reshape(count, width)


def block_parameters(
    tensors: Tensors,
    name: str,
    names: BlockNames,
    width: int,
    mlp_width: int,
    *,
    biases: Biases | None = None,
    mlp: str = "gelu",
    layer_scale: bool = False,
    norm_width: int | None = None,
) -> PyTree:
    """Parameters of one Block.

    Args:
        tensors: the stored tensors.
        name: what the block's names begin with.
        names: the names of its parts.
        width, mlp_width, mlp: as in `Block`.
        biases: which dense layers have one in the file; None: all. Without one of queries, keys and
            values, the block has none of these.
        layer_scale: whether the block has layer scales.
        norm_width: width of a head, if its queries and keys pass norms.

    Raises:
        ValueError: a tensor is missing or of another shape.
    """
    biases = biases or Biases()
    gated = MLP_FORMS[mlp].gated
    expand = _dense(
        tensors,
        f"{name}.{names.expand}",
        width,
        (2 if gated and names.gate is None else 1) * mlp_width,
        biases.mlp,
    )
    if gated and names.gate is not None:
        gate = _dense(tensors, f"{name}.{names.gate}", width, mlp_width, biases.mlp)
        expand = _side_by_side([gate, expand])
    block = {
        "norm_1": tensors.norm(f"{name}.{names.norm_1}", width),
        "attention": {
            "qkv": _qkv(tensors, name, names.qkv, width, biases),
            "projection": _dense(
                tensors, f"{name}.{names.projection}", width, width, biases.projection
            ),
        },
        "norm_2": tensors.norm(f"{name}.{names.norm_2}", width),
        "expand": expand,
        "contract": _dense(tensors, f"{name}.{names.contract}", mlp_width, width, biases.mlp),
    }
    if norm_width is not None:
        block["attention"] |= {
            "query_norm": tensors.norm(f"{name}.{names.query_norm}", norm_width),
            "key_norm": tensors.norm(f"{name}.{names.key_norm}", norm_width),
        }
    if layer_scale:
        block |= {
            f"scale_{i}": tensors.take(f"{name}.{names.scale.format(i)}", (width,)) for i in (1, 2)
        }
    return block


def _qkv(tensors: Tensors, name: str, names: tuple[str, ...], width: int, biases: Biases) -> PyTree:
    present = (biases.query, biases.key, biases.value)
    if len(names) == 1:
        return tensors.dense(f"{name}.{names[0]}", width, 3 * width, all(present))
    parts = [
        (_dense if any(present) else Tensors.dense)(tensors, f"{name}.{part}", width, width, bias)
        for part, bias in zip(names, present, strict=True)
    ]
    return _side_by_side(parts)


def _dense(tensors: Tensors, name: str, inputs: int, outputs: int, bias: bool) -> PyTree:
    """A dense layer with a bias: the file's, or zeros."""
    layer = tensors.dense(name, inputs, outputs, bias)
    return layer if bias else {**layer, "bias": np.zeros(outputs, np.float32)}


def _side_by_side(layers: list[PyTree]) -> PyTree:
    """One dense layer that gives the outputs of all."""
    return {key: np.concatenate([layer[key] for layer in layers], axis=-1) for key in layers[0]}
