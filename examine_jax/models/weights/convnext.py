"""ConvNeXt and ConvNeXt V2 of timm, transformers and facebookresearch."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.convnext import ConvNeXtConfig
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
    normalisation,
)
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import refuse_other_pool
from examine_jax.models.weights.transformer import activation, renamed

# To timm's names.
_FROM_TRANSFORMERS = (
    (r"^convnext(v2)?\.", ""),
    (r"^embeddings\.patch_embeddings\.", "stem.0."),
    (r"^embeddings\.layernorm\.", "stem.1."),
    (r"^encoder\.stages\.(\d+)\.downsampling_layer\.", r"stages.\1.downsample."),
    (r"^encoder\.stages\.(\d+)\.layers\.", r"stages.\1.blocks."),
    (r"\.dwconv\.", ".conv_dw."),
    (r"\.layernorm\.", ".norm."),
    (r"\.pwconv([12])\.", r".mlp.fc\1."),
    (r"\.layer_scale_parameter$", ".gamma"),
    (r"\.grn\.", ".mlp.grn."),
    (r"^layernorm\.", "head.norm."),
)
_FROM_FACEBOOK = (
    (r"^downsample_layers\.0\.", "stem."),
    (r"^downsample_layers\.(\d+)\.", r"stages.\1.downsample."),
    (r"^stages\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"\.dwconv\.", ".conv_dw."),
    (r"\.pwconv([12])\.", r".mlp.fc\1."),
    (r"\.grn\.gamma$", ".mlp.grn.weight"),
    (r"\.grn\.beta$", ".mlp.grn.bias"),
    (r"^norm\.", "head.norm."),
    (r"^head\.(weight|bias)$", r"head.fc.\1"),
)
# A classifier; and DINOv3's norms of inner maps, the last of them `norm` once more.
_CLASSIFIER = r"head\.fc\.|classifier\.|norms\.\d+\."
_FIELDS = frozenset(
    {"hidden_act", "hidden_sizes", "depths", "num_channels", "num_stages", "patch_size"}
    | {"image_size", "layer_norm_eps", "layer_scale_init_value"}
)
# timm's networks of this shape; those with other stems, norms or heads are not among them.
_TIMM_NAMES = re.compile(
    r"convnext(v2)?_(atto|femto|pico|nano|tiny|small|base|large|xlarge|huge|xxlarge)(\..*)?"
)
# timm's arguments that the tensors tell, or that change no feature.
_TIMM_ARGUMENTS = frozenset(
    {"num_classes", "in_chans", "depths", "dims", "patch_size", "conv_mlp", "use_grn"}
    | {"ls_init_value", "drop_rate", "drop_path_rate", "norm_eps", "global_pool", "pretrained"}
)


@dataclasses.dataclass(frozen=True)
class ConvNeXtFamily:
    """transformers' ConvNeXt and ConvNeXt V2."""

    name: str = "convnext"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") in ("convnext", "convnextv2")

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        refuse_unknown_fields(configuration, _FIELDS, where)
        pixels = stored.preprocessor_normalisation()
        size = configuration.get("image_size")
        trained = 224 if size is None else whole_number(configuration, "image_size", where)
        network = read_convnext(
            renamed(stored.tensors, _FROM_TRANSFORMERS),
            image_size or stored.size_in_use(trained),
            pixels,
            mlp=activation(configuration, where),
            head_epsilon=positive_number(configuration, "layer_norm_eps", 1e-12, where),
        )
        check_sizes(configuration, network.encoder, "hidden_sizes", where)
        return network


@dataclasses.dataclass(frozen=True)
class TimmConvNeXtFamily:
    """timm's ConvNeXt and ConvNeXt V2."""

    name: str = "timm's ConvNeXts"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return str(configuration.get("architecture")).startswith("convnext")

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        name = str(configuration["architecture"])
        if not _TIMM_NAMES.fullmatch(name):
            raise ValueError(
                f"{where}: architecture is {name}, which has another stem, norm or head than the "
                "ConvNeXts that can be read"
            )
        arguments = configuration.get("model_args") or {}
        if not isinstance(arguments, dict):
            raise ValueError(f"{where}: model_args is {arguments!r}; it must be an object")
        for argument in arguments:
            if argument not in _TIMM_ARGUMENTS:
                raise ValueError(
                    f"{where}: model_args has {argument}, which is not known here and may change "
                    "the features; such a network cannot be read"
                )
        refuse_other_pool(configuration, arguments, where)
        epsilon = positive_number(
            arguments, "norm_eps", 1e-5 if "_xxlarge" in name else 1e-6, f"{where}, model_args"
        )
        settings = configuration.get("pretrained_cfg")
        settings = settings if isinstance(settings, dict) else {}
        pixels = stored.preprocessor_normalisation() or normalisation(
            settings.get("mean"), settings.get("std"), 1.0, stored.folder / "config.json"
        )
        size = settings.get("input_size")
        sides = {"input_size": size[-2:] if isinstance(size, list) else [224, 224]}
        trained = whole_number(sides, "input_size", where)
        network = read_convnext(
            _with_timms_names(stored.tensors),
            image_size or trained,
            pixels,
            epsilon=epsilon,
            head_epsilon=epsilon,
        )
        check_sizes(arguments, network.encoder, "dims", where)
        return network


@dataclasses.dataclass(frozen=True)
class BareConvNeXtFamily:
    """A state dict under the names of timm, transformers or facebookresearch, without a config."""

    def recognises(self, tensors: Tensors) -> bool:
        return "stem.0.weight" in _with_timms_names(tensors).arrays

    def read(self, tensors: Tensors, image_size: int | None) -> ImportedNetwork:
        return read_convnext(_with_timms_names(tensors), image_size or 224, IMAGENET)


def read_convnext(
    tensors: Tensors,
    image_size: int,
    pixels: PixelNormalisation | None,
    *,
    mlp: str = "gelu",
    epsilon: float = 1e-6,
    head_epsilon: float = 1e-6,
) -> ImportedNetwork:
    """A ConvNeXt from a state dict under timm's names, whose shapes tell its sizes.

    Args:
        tensors: the state dict; a classifier in it is ignored.
        image_size: side of the images.
        pixels: how pixels are normalised; None: nothing says it.
        mlp: the activation.
        epsilon, head_epsilon: of the layer norms.

    Raises:
        ValueError: it is no ConvNeXt's; a tensor is missing, misshapen or left over; or nothing
            says how pixels are normalised.
    """
    config = _config(tensors, image_size, mlp, epsilon, head_epsilon)
    params = _parameters(tensors, config)
    tensors.refuse_unused(_CLASSIFIER)
    if pixels is None or (config.channels != 3 and pixels == IMAGENET):
        raise ValueError(
            f"{tensors.where}: neither preprocessor_config.json nor config.json says how pixels "
            f"of {config.channels} channels are normalised: say it in encoder.json "
            '({"mean": [...], "deviation": [...]}; without a config.json, "architecture": '
            '"convnext_tiny" too)'
        )
    return ImportedNetwork(config, on_device(params), {}, *pixels)


def _with_timms_names(tensors: Tensors) -> Tensors:
    if any(name.startswith("downsample_layers.") for name in tensors.arrays):
        return renamed(tensors, _FROM_FACEBOOK)
    if any("embeddings.patch_embeddings." in name for name in tensors.arrays):
        return renamed(tensors, _FROM_TRANSFORMERS)
    return tensors


def _config(
    tensors: Tensors, image_size: int, mlp: str, epsilon: float, head_epsilon: float
) -> ConvNeXtConfig:
    arrays = tensors.arrays
    stem = arrays.get("stem.0.weight")
    if stem is None or stem.ndim != 4:
        raise ValueError(f"{tensors.where} holds no ConvNeXt: it lacks the tensor stem.0.weight")
    depths: list[int] = []
    widths: list[int] = []
    while f"stages.{len(depths)}.blocks.0.conv_dw.weight" in arrays:
        widths.append(arrays[f"stages.{len(depths)}.blocks.0.conv_dw.weight"].shape[0])
        pattern = re.compile(rf"stages\.{len(depths)}\.blocks\.(\d+)\.")
        depths.append(1 + max(int(match[1]) for match in map(pattern.match, arrays) if match))
    if not depths:
        raise ValueError(
            f"{tensors.where} lacks the tensor stages.0.blocks.0.conv_dw.weight: it is no ConvNeXt"
        )
    return ConvNeXtConfig(
        image_size=image_size,
        channels=stem.shape[1],
        depths=tuple(depths),
        widths=tuple(widths),
        patch_size=stem.shape[2],
        mlp=mlp,
        layer_scale=1e-6 if "stages.0.blocks.0.gamma" in arrays else None,
        response_norm="stages.0.blocks.0.mlp.grn.weight" in arrays,
        layer_norm_epsilon=epsilon,
        head_epsilon=head_epsilon,
    )


def _parameters(tensors: Tensors, config: ConvNeXtConfig) -> PyTree:
    params: dict[str, Any] = {}
    inputs = config.channels
    for stage, (depth, width) in enumerate(zip(config.depths, config.widths)):
        name, size = f"stages.{stage}.downsample", 2
        if stage == 0:
            size = config.patch_size
            params["stem"] = _patches(tensors, "stem.0", inputs, width, size)
            params["stem_norm"] = tensors.norm("stem.1", width)
        else:
            params[f"downsample_{stage}_norm"] = tensors.norm(f"{name}.0", inputs)
            params[f"downsample_{stage}"] = _patches(tensors, f"{name}.1", inputs, width, size)
        for i in range(depth):
            block = _block(tensors, f"stages.{stage}.blocks.{i}", width, config)
            params[f"stage_{stage}_block_{i}"] = block
        inputs = width
    return params | {"norm": tensors.norm("head.norm", inputs)}


def _patches(tensors: Tensors, name: str, inputs: int, outputs: int, size: int) -> PyTree:
    kernel = tensors.take(f"{name}.weight", (outputs, inputs, size, size))
    # A kernel's rows run over (row, column, channel) here.
    return {
        "convolution": {
            "kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, outputs),
            "bias": tensors.take(f"{name}.bias", (outputs,)),
        }
    }


def _block(tensors: Tensors, name: str, width: int, config: ConvNeXtConfig) -> PyTree:
    kernel = tensors.take(f"{name}.conv_dw.weight", (width, 1, 7, 7))
    block: dict[str, Any] = {
        "kernel": kernel.transpose(2, 3, 1, 0),
        "bias": tensors.take(f"{name}.conv_dw.bias", (width,)),
        "norm": tensors.norm(f"{name}.norm", width),
        "expand": _dense(tensors, f"{name}.mlp.fc1", width, 4 * width),
        "contract": _dense(tensors, f"{name}.mlp.fc2", 4 * width, width),
    }
    if config.layer_scale is not None:
        block["scale"] = tensors.take(f"{name}.gamma", (width,))
    if config.response_norm:
        block["response_norm"] = {
            ours: _flat(tensors, f"{name}.mlp.grn.{theirs}", 4 * width)
            for ours, theirs in (("scale", "weight"), ("bias", "bias"))
        }
    return block


def _dense(tensors: Tensors, name: str, inputs: int, outputs: int) -> PyTree:
    """A dense layer, which timm's small networks store as a convolution of size 1."""
    stored = tensors.arrays.get(f"{name}.weight")
    if stored is not None and stored.ndim == 4:
        kernel = tensors.take(f"{name}.weight", (outputs, inputs, 1, 1))[:, :, 0, 0].T
        return {"kernel": kernel, "bias": tensors.take(f"{name}.bias", (outputs,))}
    return tensors.dense(name, inputs, outputs)


def _flat(tensors: Tensors, name: str, width: int) -> np.ndarray:
    """A vector that transformers and facebookresearch store as [1, 1, 1, width]."""
    stored = tensors.arrays.get(name)
    shape = (1, 1, 1, width) if stored is not None and stored.ndim == 4 else (width,)
    return tensors.take(name, shape).reshape(-1)


def check_sizes(settings: Mapping[str, Any], config: Any, widths: str, where: str) -> None:
    """Raises a ValueError if a configuration's sizes are not those of the tensors."""
    for name, ours in (("depths", config.depths), (widths, config.widths)):
        theirs = settings.get(name)
        if theirs is not None and (not isinstance(theirs, list) or theirs != list(ours)):
            raise ValueError(f"{where}: {name} is {theirs}, the tensors have {list(ours)}")
    for name, ours in (
        ("patch_size", config.patch_size),
        ("num_channels", config.channels),
        ("in_chans", config.channels),
        ("num_stages", len(config.depths)),
    ):
        theirs = settings.get(name)
        if theirs is not None and theirs != ours:
            raise ValueError(f"{where}: {name} is {theirs}, the tensors have {ours}")
