"""What the blocks of BEiT and EVA-02 have beside those of other vision transformers."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.relative_positions import table_rows
from examine_jax.models.rotary_positions import GridRotaryPositions
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.imported import ImportedNetwork
from examine_jax.models.weights.tensors import Tensors


class PartNames(NamedTuple):
    """The names of parts of the block whose number goes into the braces; and of the shared table.

    Attributes:
        attention_norm, mlp_norm: of the norms before the last dense layers.
        table: of a block's relative biases.
        shared_table: of those that all blocks share.
    """

    attention_norm: str = "blocks.{}.attn.norm"
    mlp_norm: str = "blocks.{}.mlp.norm"
    table: str = "blocks.{}.attn.relative_position_bias_table"
    shared_table: str = "rel_pos_bias.relative_position_bias_table"


def add_block_parts(
    network: ImportedNetwork,
    tensors: Tensors,
    stored: ViTConfig,
    names: PartNames,
    resample: Callable[[np.ndarray, int], np.ndarray],
) -> None:
    """Adds the parameters of inner norms and relative biases; sorts queries and keys that turn.

    Args:
        network: what `read_transformer` returns; its parameters change.
        tensors: the stored tensors.
        stored: the configuration that they were trained with.
        names: their names.
        resample: brings a table of relative biases to another number of patches in a row.

    Raises:
        ValueError: a tensor is missing or of another shape.
    """
    params, parts = network.params, stored.parts
    side = network.encoder.image_size // stored.patch_size
    rows = table_rows(stored.image_size // stored.patch_size)

    def table(name: str) -> np.ndarray:
        return resample(tensors.take(name, (rows, stored.heads)), side)

    if parts.shared_relative_bias:
        params["relative_bias"] = on_device(table(names.shared_table))
    for i in range(stored.depth):
        block = params[f"block_{i}"]
        if parts.relative_bias:
            block["attention"]["relative_bias"] = on_device(table(names.table.format(i)))
        if parts.attention_norm:
            block["attention"]["norm"] = _norm(
                tensors, names.attention_norm.format(i), stored.width
            )
        if parts.mlp_norm:
            block["mlp_norm"] = _norm(tensors, names.mlp_norm.format(i), stored.mlp_width)
        if isinstance(parts.rotary, GridRotaryPositions):
            _sort_pairs(block["attention"], stored.heads)


def with_fused_biases(tensors: Tensors) -> Tensors:
    """Queries' and values' biases as one of all three; keys have none, which is zero.

    Raises:
        ValueError: one of a pair is missing.
    """
    arrays = dict(tensors.arrays)
    for name in tensors.arrays:
        if name.endswith(".attn.q_bias"):
            block = name.removesuffix("q_bias")
            query, value = arrays.pop(name), arrays.pop(f"{block}v_bias", None)
            if value is None or value.shape != query.shape:
                raise ValueError(
                    f"{tensors.where} lacks the tensor {block}v_bias {list(query.shape)}"
                )
            arrays[f"{block}qkv.bias"] = np.concatenate([query, np.zeros_like(query), value])
    return dataclasses.replace(tensors, arrays=arrays)


def _norm(tensors: Tensors, name: str, width: int) -> PyTree:
    return on_device(dict(tensors.norm(name, width)))


def _sort_pairs(attention: PyTree, heads: int) -> None:
    """Puts a head's pairs (x[2i], x[2i + 1]) to (x[i], x[i + half]), which changes no logit."""
    qkv = attention["qkv"]
    width = qkv["kernel"].shape[1] // 3
    values = np.arange(width // heads)
    order = np.concatenate([values[::2], values[1::2]])
    queries = (np.arange(heads)[:, None] * (width // heads) + order).reshape(-1)
    columns = np.concatenate([queries, width + queries, 2 * width + np.arange(width)])
    for name, array in qkv.items():
        qkv[name] = on_device(np.asarray(array)[..., columns])
    for norm in ("query_norm", "key_norm"):
        for name, array in attention.get(norm, {}).items():
            attention[norm][name] = on_device(np.asarray(array)[order])
