"""Swin transformers of transformers, timm and Microsoft, and CTransPath's."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.swin import SwinConfig
from examine_jax.models.weights.configuration import (
    positive_number,
    refuse_unknown_fields,
    whole_number,
)
from examine_jax.models.weights.imported import (
    IMAGENET,
    ImportedNetwork,
    PixelNormalisation,
    StoredNetwork,
    usual_pixels,
)
from examine_jax.models.weights.positions import resample_positions
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import (
    count_blocks,
    image_size_of,
    model_args,
    refuse_other_arguments,
    refuse_other_pool,
    shape_of,
    timm_name,
    timm_pixels,
)
from examine_jax.models.weights.transformer import activation, is_on, renamed

# To timm's names of today.
_FROM_TRANSFORMERS = (
    (r"^swin\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.norm\.", "patch_embed.norm."),
    (r"^embeddings\.position_embeddings$", "absolute_pos_embed"),
    (r"^encoder\.layers\.", "layers."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.self\.", ".attn."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    # In memory, transformers 5.
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.attention\.q_proj\.", ".attn.query."),
    (r"\.attention\.k_proj\.", ".attn.key."),
    (r"\.attention\.v_proj\.", ".attn.value."),
    (r"\.attention\.relative_position_bias\.", ".attn."),
    (r"^layernorm\.", "norm."),
)
# Tensors that do not contribute to the features.
_UNUSED = r"head\.|classifier\.|decoder\.|embeddings\.mask_token|mask_token"
_BUFFERS = re.compile(r"layers\.\d+\.blocks\.\d+\.(attn_mask|attn\.relative_position_index)")
_FIELDS = frozenset(
    {"image_size", "patch_size", "num_channels", "embed_dim", "depths", "num_heads", "window_size"}
    | {"mlp_ratio", "qkv_bias", "hidden_act", "use_absolute_embeddings", "layer_norm_eps"}
    # They follow from the others; path_norm was never read.
    | {"hidden_size", "num_layers", "path_norm"}
)
_TIMM_NAMES = re.compile(
    r"swin_(tiny|small|base|large)_patch4_window(?P<window>\d+)_(?P<size>\d+)"
    r"(_in22k)?|swin_s3_(tiny|small|base)_(?P<s3_size>\d+)"
)
# timm's arguments that `_check_timm` takes into account, or that change no feature.
_TAKEN = ("img_size", "window_size", "mlp_ratio", "global_pool", "strict_img_size")
_PATCHES, _CONVOLUTIONS = "patch_embed.proj.weight", "patch_embed.proj.0.weight"
_TABLE = "attn.relative_position_bias_table"


@dataclasses.dataclass(frozen=True)
class SwinFamily:
    """transformers' Swin. The features are the mean of the last map after the final norm."""

    name: str = "swin"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == "swin"

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        refuse_unknown_fields(configuration, _FIELDS, where)
        trained = whole_number({"image_size": 224, **configuration}, "image_size", where)
        tensors = _with_timms_names(stored.tensors)
        config = _config(
            tensors,
            image_size or trained,
            mlp_ratio=_given_ratio(configuration, where),
            mlp=activation(configuration, where),
            pads_first=True,
            layer_norm_epsilon=positive_number(configuration, "layer_norm_eps", 1e-5, where),
        )
        _check_fields(configuration, config, where)
        pixels = stored.preprocessor_normalisation()
        pixels = usual_pixels(pixels, IMAGENET, config.channels, where)
        return _read(tensors, config, pixels, trained)


@dataclasses.dataclass(frozen=True)
class TimmSwinFamily:
    """timm's Swin, of today's and of older versions; CTransPath's convolutional stem too."""

    name: str = "timm's swin"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        architecture = configuration.get("architecture")
        return isinstance(architecture, str) and bool(
            _TIMM_NAMES.fullmatch(timm_name(architecture))
        )

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        named = _TIMM_NAMES.fullmatch(timm_name(configuration["architecture"]))
        assert named is not None
        given = model_args(configuration, where)
        refuse_other_pool(configuration, given, where)
        trained = image_size_of(configuration, given, where)
        trained = trained or int(named["size"] or named["s3_size"])
        tensors = _with_timms_names(stored.tensors)
        config = _config(
            tensors, image_size or trained, mlp_ratio=_given_ratio(given, f"{where}, model_args")
        )
        window = given.get("window_size", None if named["window"] is None else int(named["window"]))
        _check_timm(given, config, window, trained, where)
        return _read(tensors, config, timm_pixels(stored, config.channels), trained)


@dataclasses.dataclass(frozen=True)
class BareSwinFamily:
    """A state dict under timm's or Microsoft's names, without a configuration."""

    def recognises(self, tensors: Tensors) -> bool:
        return f"layers.0.blocks.0.{_TABLE}" in tensors.arrays

    def read(self, tensors: Tensors, image_size: int | None) -> ImportedNetwork:
        tensors = _with_timms_names(tensors)
        positions = tensors.arrays.get("absolute_pos_embed")
        trained = 224
        if positions is not None and positions.ndim == 3:
            trained = round(positions.shape[1] ** 0.5) * _patch_size(tensors)
        config = _config(tensors, image_size or trained)
        if config.channels != 3:
            raise ValueError(
                f"{tensors.where} holds a Swin for images of {config.channels} channels, and "
                "nothing says how pixels are normalised: put it into a folder as "
                "model.safetensors, with an encoder.json such as "
                '{"architecture": "swin_tiny_patch4_window7_224", "mean": ..., "deviation": ...}'
            )
        return _read(tensors, config, IMAGENET, trained)


def _with_timms_names(tensors: Tensors) -> Tensors:
    """The tensors under timm's names of today: a stage begins with its merging of patches."""
    if any(name.startswith(("swin.", "encoder.layers.")) for name in tensors.arrays):
        tensors = renamed(tensors, _FROM_TRANSFORMERS)
    if "layers.0.downsample.reduction.weight" in tensors.arrays:
        arrays = {
            re.sub(
                r"^layers\.(\d+)\.downsample\.",
                lambda match: f"layers.{int(match[1]) + 1}.downsample.",
                name,
            ): array
            for name, array in tensors.arrays.items()
        }
        tensors = dataclasses.replace(tensors, arrays=arrays)
    arrays = {name: array for name, array in tensors.arrays.items() if not _BUFFERS.fullmatch(name)}
    return dataclasses.replace(tensors, arrays=arrays)


def _patch_size(tensors: Tensors) -> int:
    if _CONVOLUTIONS in tensors.arrays:
        return 4
    patch, columns = shape_of(tensors, _PATCHES, 4)[2:]
    if patch != columns:
        raise ValueError(
            f"{tensors.where}: patches of {patch} x {columns} pixels; only squares can be read"
        )
    return patch


def _config(
    tensors: Tensors, image_size: int, *, mlp_ratio: Any = None, **fields: Any
) -> SwinConfig:
    """The configuration whose sizes the tensors' shapes tell."""
    depths: list[int] = []
    heads: list[int] = []
    windows: list[int] = []
    while depth := count_blocks(tensors, rf"layers\.{len(depths)}\.blocks\.(\d+)\."):
        name = f"layers.{len(depths)}.blocks.0.{_TABLE}"
        rows, count = shape_of(tensors, name, 2)
        side = round(rows**0.5)
        if side * side != rows or side % 2 == 0:
            raise ValueError(
                f"{tensors.where}: the tensor {name} has {rows} rows; a window of side w has "
                "(2 w - 1)^2"
            )
        depths.append(depth)
        heads.append(count)
        windows.append((side + 1) // 2)
    if not depths:
        raise ValueError(f"{tensors.where} holds no Swin: it lacks the tensors layers.0.blocks")
    stem = "convolutions" if _CONVOLUTIONS in tensors.arrays else "patches"
    first = shape_of(tensors, _CONVOLUTIONS if stem == "convolutions" else _PATCHES, 4)
    hidden, width = shape_of(tensors, "layers.0.blocks.0.mlp.fc1.weight", 2)
    try:
        return SwinConfig(
            image_size=image_size,
            channels=first[1],
            depths=tuple(depths),
            heads=tuple(heads),
            windows=tuple(windows),
            width=width,
            patch_size=_patch_size(tensors),
            stem=stem,  # type: ignore[arg-type]
            mlp_ratio=_ratio(hidden, width) if mlp_ratio is None else mlp_ratio,
            qkv_bias=any(
                f"layers.0.blocks.0.attn.{part}.bias" in tensors.arrays for part in ("qkv", "query")
            ),
            absolute_positions="absolute_pos_embed" in tensors.arrays,
            **fields,
        )
    except ValueError as error:
        raise ValueError(f"{tensors.where}: {error}") from error


def _ratio(hidden: int, width: int) -> float:
    """A number whose product with `width`, cut off, is `hidden`."""
    ratio = hidden / width
    return ratio if int(ratio * width) == hidden else math.nextafter(ratio, math.inf)


def _given_ratio(given: Mapping[str, Any], where: str) -> float | None:
    if given.get("mlp_ratio") is None:
        return None
    return positive_number(given, "mlp_ratio", 4.0, where)


def _read(
    tensors: Tensors, config: SwinConfig, pixels: PixelNormalisation, trained: int
) -> ImportedNetwork:
    """The network; absolute positions are resampled where it was trained at another size."""
    params: dict[str, Any] = {}
    statistics: dict[str, Any] = {}
    name, size, channels = "patch_embed.proj", config.patch_size, config.channels
    if config.stem == "convolutions":
        for i, place in enumerate((0, 3)):
            outputs = config.width // 8 * 2**i
            kernel = tensors.take(f"{name}.{place}.weight", (outputs, channels, 3, 3))
            params[f"stem_convolution_{i}"] = {"kernel": kernel.transpose(2, 3, 1, 0)}
            params[f"stem_batch_norm_{i}"] = tensors.norm(f"{name}.{place + 1}", outputs)
            statistics[f"stem_batch_norm_{i}"] = {
                "mean": tensors.take(f"{name}.{place + 1}.running_mean", (outputs,)),
                "var": tensors.take(f"{name}.{place + 1}.running_var", (outputs,)),
            }
            channels = outputs
        name, size = f"{name}.6", 1
    kernel = tensors.take(f"{name}.weight", (config.width, channels, size, size))
    # A kernel's rows run over (row, column, channel) here.
    stem = {
        "kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, config.width),
        "bias": tensors.take(f"{name}.bias", (config.width,)),
    }
    params["stem"] = stem if config.stem == "convolutions" else {"convolution": stem}
    params["stem_norm"] = tensors.norm("patch_embed.norm", config.width)
    if config.absolute_positions:
        places = (trained // config.patch_size) ** 2
        positions = tensors.take("absolute_pos_embed", (1, places, config.width))[0]
        params["positions"] = resample_positions(positions, config.sides[0])
    for stage, (depth, width) in enumerate(zip(config.depths, config.map_widths)):
        if stage > 0:
            merge = f"layers.{stage}.downsample"
            params[f"merge_{stage}_norm"] = tensors.norm(f"{merge}.norm", 2 * width)
            params[f"merge_{stage}"] = tensors.dense(
                f"{merge}.reduction", 2 * width, width, bias=False
            )
        for i in range(depth):
            block = _block(tensors, f"layers.{stage}.blocks.{i}", config, stage)
            params[f"stage_{stage}_block_{i}"] = block
    params["norm"] = tensors.norm("norm", config.features)
    tensors.refuse_unused(_UNUSED)
    params, statistics = on_device((params, statistics))
    return ImportedNetwork(config, params, statistics, *pixels)


def _block(tensors: Tensors, name: str, config: SwinConfig, stage: int) -> PyTree:
    width, heads = config.map_widths[stage], config.heads[stage]
    hidden = int(config.mlp_ratio * width)
    rows = (2 * config.windows[stage] - 1) ** 2
    return {
        "norm_1": tensors.norm(f"{name}.norm1", width),
        "attention": {
            "qkv": _qkv(tensors, f"{name}.attn", width, config.qkv_bias),
            "relative_positions": tensors.take(f"{name}.{_TABLE}", (rows, heads)),
            "projection": tensors.dense(f"{name}.attn.proj", width, width),
        },
        "norm_2": tensors.norm(f"{name}.norm2", width),
        "expand": tensors.dense(f"{name}.mlp.fc1", width, hidden),
        "contract": tensors.dense(f"{name}.mlp.fc2", hidden, width),
    }


def _qkv(tensors: Tensors, name: str, width: int, bias: bool) -> PyTree:
    """Queries, keys and values in one dense layer: fused in the file, or three."""
    if f"{name}.query.weight" not in tensors.arrays:
        return tensors.dense(f"{name}.qkv", width, 3 * width, bias)
    parts = [
        tensors.dense(f"{name}.{part}", width, width, bias) for part in ("query", "key", "value")
    ]
    return {key: np.concatenate([part[key] for part in parts], axis=-1) for key in parts[0]}


def _check_fields(configuration: Mapping[str, Any], config: SwinConfig, where: str) -> None:
    """Raises a ValueError if transformers' config.json says otherwise than the tensors."""
    for name, ours in (
        ("depths", list(config.depths)),
        ("num_heads", list(config.heads)),
        ("embed_dim", config.width),
        ("num_channels", config.channels),
        ("patch_size", config.patch_size),
        ("qkv_bias", config.qkv_bias),
        ("use_absolute_embeddings", config.absolute_positions),
        ("hidden_size", config.features),
        ("num_layers", len(config.depths)),
    ):
        theirs = configuration.get(name)
        if isinstance(ours, bool):
            theirs = is_on(configuration, name, where, default=ours)
        if theirs is not None and theirs != ours and theirs != [ours, ours]:
            raise ValueError(f"{where}: {name} is {theirs!r}, the tensors have {ours!r}")
    window = configuration.get("window_size")
    if window is not None and any(side != window for side in config.windows):
        raise ValueError(
            f"{where}: window_size is {window!r}, the tensors have {list(config.windows)}"
        )


def _check_timm(
    given: Mapping[str, Any], config: SwinConfig, window: Any, trained: int, where: str
) -> None:
    """Raises a ValueError if model_args or the name say otherwise than the tensors."""
    facts = {
        "patch_size": config.patch_size,
        "in_chans": config.channels,
        "embed_dim": config.width,
        "qkv_bias": config.qkv_bias,
        "always_partition": False,
    }
    listed = {"depths": list(config.depths), "num_heads": list(config.heads)}
    for name, ours in listed.items():
        if given.get(name) is not None and given[name] != ours:
            raise ValueError(f"{where}: {name} is {given[name]!r}, the tensors have {ours}")
    refuse_other_arguments(given, facts, (*_TAKEN, *listed), where)
    if window is None:
        return
    asked = window if isinstance(window, list) else [window] * len(config.depths)
    if len(asked) != len(config.depths) or not all(
        type(side) is int and side > 0 for side in asked
    ):
        raise ValueError(f"{where}: window_size is {window!r}; it must be one number a stage")
    for size in (trained, config.image_size):
        sides = [-(-size // stride) for stride in config.strides]
        fitting = [min(side, most) for side, most in zip(asked, sides)]
        if fitting != list(config.windows):
            raise ValueError(
                f"{where}: with window_size {window!r}, timm's windows at {size} px are {fitting} "
                f"places wide, the tensors' {list(config.windows)}"
            )
