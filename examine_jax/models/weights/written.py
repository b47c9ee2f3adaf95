"""A network of ours in another library's layout, before it is written; and what layouts share."""

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.positions import sincos_positions
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.transformer import TransformerNames


@dataclasses.dataclass(frozen=True, eq=False)
class WrittenNetwork:
    """A network under the names of another library.

    Attributes:
        tensors: by name, float32; counters of batch norms are whole numbers.
        configuration: the content of its config.json.
        feature: a line of Python that gives the features from the library's `outputs`.
    """

    tensors: dict[str, np.ndarray]
    configuration: dict[str, Any]
    feature: str


def refuse_obstacles(
    library: str, config: Any, said: Collection[str], obstacles: Iterable[tuple[str, bool]]
) -> None:
    """Raises a ValueError that names all that a layout cannot say.

    Args:
        library: whose layout, for the message.
        config: the network's.
        said: fields of the configuration, or of its extras, that the layout takes into account;
            another field must have its default.
        obstacles: (what it is, whether this network has it).
    """
    present = [name for name, there in obstacles if there]
    said = {*said, "extras", "dtype", "remat", "zero_init_residual"}
    for part in (config, getattr(config, "extras", None)):
        if part is None:
            continue
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if field.name not in said and value != field.default:
                present.append(f"{field.name.replace('_', ' ')} ({str(value)[:40]})")
    if present:
        raise ValueError(
            f"{library} has no such network: this one has {', '.join(present)}; take another "
            "format (onnx and stablehlo hold any network)"
        )


def contiguous(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors as files hold them: float32, row by row; whole numbers stay."""
    return {
        name: np.ascontiguousarray(
            array, array.dtype if np.asarray(array).dtype == np.int64 else np.float32
        ).reshape(np.shape(array))
        for name, array in tensors.items()
    }


def dense_tensors(name: str, part: PyTree) -> dict[str, np.ndarray]:
    """A dense layer's tensors. PyTorch stores the kernel transposed."""
    tensors = {f"{name}.weight": np.asarray(part["kernel"]).T}
    if "bias" in part:
        tensors[f"{name}.bias"] = np.asarray(part["bias"])
    return tensors


def norm_tensors(name: str, part: PyTree) -> dict[str, np.ndarray]:
    """A norm's tensors."""
    return {f"{name}.weight": np.asarray(part["scale"]), f"{name}.bias": np.asarray(part["bias"])}


def filter_tensor(kernel: PyTree, size: int, channels: int) -> np.ndarray:
    """A kernel whose rows run over (row, column, channel), as that of a convolution."""
    filters = np.asarray(kernel).reshape(size, size, channels, -1)
    return filters.transpose(3, 2, 0, 1)


def transformer_tensors(
    config: ViTConfig,
    params: PyTree,
    names: TransformerNames,
    *,
    position_rows: int,
    patch_bias: bool = True,
) -> dict[str, np.ndarray]:
    """A vision transformer's tensors up to its final norm, as `encoder_parameters` reads them.

    Args:
        config, params: the encoder's.
        names: the names of the tensors.
        position_rows: tokens before the patches that have a row among the positions. It is zero:
            a reader adds it to the token.
        patch_bias: whether the patch embedding has a bias in the file.
    """
    tensors = {
        f"{names.patches}.weight": filter_tensor(
            params["patch_embedding"]["kernel"], config.patch_size, config.channels
        )
    }
    if patch_bias:
        tensors[f"{names.patches}.bias"] = np.asarray(params["patch_embedding"]["bias"])
    if config.class_token:
        tensors[names.class_token] = np.reshape(params["class_token"], (1, 1, -1))
    if config.parts.registers:
        tensors[names.registers] = np.asarray(params["registers"])[None]
    if config.parts.embedding_norm:
        tensors |= norm_tensors(names.embedding_norm, params["embedding_norm"])
    side = config.image_size // config.patch_size
    positions = (
        np.asarray(params["positions"])
        if config.positions == "learned"
        else sincos_positions(side, config.width)
    )
    before = np.zeros((position_rows, config.width), np.float32)
    tensors[names.positions] = np.concatenate([before, positions])[None]
    for i in range(config.depth):
        tensors |= _block_tensors(config, params[f"block_{i}"], names, names.blocks.format(i))
    if config.final_norm:
        tensors |= norm_tensors(names.norm, params["norm"])
    return tensors


def _block_tensors(
    config: ViTConfig, params: PyTree, names: TransformerNames, name: str
) -> dict[str, np.ndarray]:
    block, attention = names.block, params["attention"]
    tensors = norm_tensors(f"{name}.{block.norm_1}", params["norm_1"])
    tensors |= norm_tensors(f"{name}.{block.norm_2}", params["norm_2"])
    parts = _apart(attention["qkv"], len(block.qkv))
    for which, part in zip(block.qkv, parts, strict=True):
        tensors |= dense_tensors(f"{name}.{which}", part)
    tensors |= dense_tensors(f"{name}.{block.projection}", attention["projection"])
    expand = params["expand"]
    if MLP_FORMS[config.mlp].gated and block.gate is not None:
        gate, expand = _apart(expand, 2)
        tensors |= dense_tensors(f"{name}.{block.gate}", gate)
    tensors |= dense_tensors(f"{name}.{block.expand}", expand)
    tensors |= dense_tensors(f"{name}.{block.contract}", params["contract"])
    if config.parts.query_key_norm:
        tensors |= norm_tensors(f"{name}.{block.query_norm}", attention["query_norm"])
        tensors |= norm_tensors(f"{name}.{block.key_norm}", attention["key_norm"])
    if config.layer_scale is not None:
        for i in (1, 2):
            tensors[f"{name}.{block.scale.format(i)}"] = np.asarray(params[f"scale_{i}"])
    return tensors


def _apart(layer: PyTree, count: int) -> list[PyTree]:
    """A dense layer as several that give its outputs one after the other."""
    split = {key: np.split(np.asarray(array), count, axis=-1) for key, array in layer.items()}
    return [{key: arrays[i] for key, arrays in split.items()} for i in range(count)]
