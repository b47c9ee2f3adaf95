"""Residual networks of torchvision, timm and transformers."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.resnet_variant import ResNetVariant
from examine_jax.models.weights.configuration import refuse_unknown_fields
from examine_jax.models.weights.convolutions import batch_norm, convolution, pointwise
from examine_jax.models.weights.imported import (
    IMAGENET,
    ImportedNetwork,
    PixelNormalisation,
    StoredNetwork,
)
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import (
    image_size_of,
    model_args,
    refuse_other_arguments,
    refuse_other_pool,
    shape_of,
    timm_pixels,
)
from examine_jax.models.weights.transformer import renamed

# transformers' names to torchvision's; timm uses torchvision's.
_FROM_TRANSFORMERS = (
    (r"^(resnet\.|)embedder\.embedder\.convolution\.", "conv1."),
    (r"^(resnet\.|)embedder\.embedder\.normalization\.", "bn1."),
    (
        r"^(resnet\.|)encoder\.stages\.(\d+)\.layers\.(\d+)\.",
        lambda m: f"layer{int(m[2]) + 1}.{m[3]}.",
    ),
    (r"\.layer\.(\d+)\.convolution\.", lambda m: f".conv{int(m[1]) + 1}."),
    (r"\.layer\.(\d+)\.normalization\.", lambda m: f".bn{int(m[1]) + 1}."),
    (r"\.shortcut\.convolution\.", ".downsample.0."),
    (r"\.shortcut\.normalization\.", ".downsample.1."),
)
# RadImageNet's to torchvision's: the children of a nn.Sequential, by number.
_FROM_SEQUENTIAL = (
    (r"^backbone\.0\.", "conv1."),
    (r"^backbone\.1\.", "bn1."),
    *((rf"^backbone\.{i + 3}\.", f"layer{i}.") for i in (1, 2, 3, 4)),
)
_FIRST_OF_SEQUENTIAL = "backbone.0.weight"
_IN_A_FOLDER = (
    "put it into a folder as model.safetensors, with an encoder.json such as "
    '{"architecture": "resnet50", "mean": ..., "deviation": ...}'
)

# timm's networks of these forms. Others have the same tensors, but blur where they shrink a map
# (resnetblur50, resnetaa50), or tensors of their own (resnet50_gn, ecaresnet50d, resnetrs50).
_TIMM_NAMES = re.compile(
    r"(?:tv_|ssl_|swsl_|ig_)?(?P<kind>wide_|se)?res(?P<base>net|next)\d+(?P<stem>[cdst]?)"
    r"(?:_2|_\d+x\d+d)?(?:\..*)?"
)
# The tensors tell the sizes.
_FIELDS = frozenset(
    {"depths", "hidden_sizes", "embedding_size", "layer_type", "num_channels", "hidden_act"}
    | {"downsample_in_bottleneck", "downsample_in_first_stage"}
)


@dataclasses.dataclass(frozen=True)
class ResNetFamily:
    """transformers' ResNet."""

    name: str = "resnet"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == "resnet"

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        for field in ("downsample_in_bottleneck", "downsample_in_first_stage"):
            if stored.configuration.get(field):
                raise ValueError(f"{stored.where}: {field} is set; such a ResNet cannot be read")
        activation = stored.configuration.get("hidden_act", "relu")
        if activation != "relu":
            raise ValueError(
                f"{stored.where}: hidden_act is {activation!r}; only 'relu' can be read"
            )
        refuse_unknown_fields(stored.configuration, _FIELDS, stored.where)
        pixels = stored.preprocessor_normalisation()
        size = image_size or stored.preprocessor_size()
        return read_state_dict(with_torchvision_names(stored.tensors), size, pixels)


@dataclasses.dataclass(frozen=True)
class TimmResNetFamily:
    """timm's ResNet."""

    name: str = "timm's ResNets"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        named = re.search("resnet|resnext", str(configuration.get("architecture")))
        return configuration.get("model_type") is None and named is not None

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        name = str(stored.configuration["architecture"])
        match = _TIMM_NAMES.fullmatch(name)
        if match is None:
            raise ValueError(
                f"{stored.where}: architecture is {name}, which has another stem, other blocks or "
                "norms than the ResNets that can be read"
            )
        given = model_args(stored.configuration, stored.where)
        size = image_size or image_size_of(stored.configuration, given, stored.where)
        tensors = renamed(stored.tensors, _FROM_SEQUENTIAL)
        config = resnet_config(tensors, size or 224)
        refuse_other_arguments(given, _timm_arguments(config), ("global_pool",), stored.where)
        _refuse_other_parts(match, given, config.parts, stored.where)
        refuse_other_pool(stored.configuration, given, stored.where)
        return read_state_dict(tensors, size, timm_pixels(stored, config.channels))


@dataclasses.dataclass(frozen=True)
class BareResNetFamily:
    """A state dict under the names of torchvision and timm."""

    def recognises(self, tensors: Tensors) -> bool:
        names = ("conv1.weight", "conv1.0.weight", "layer1.0.conv1.weight")
        first = tensors.arrays.get(_FIRST_OF_SEQUENTIAL)
        radimagenet = first is not None and "backbone.4.0.conv1.weight" in tensors.arrays
        return radimagenet or any(name in tensors.arrays for name in names)

    def read(self, tensors: Tensors, image_size: int | None) -> ImportedNetwork:
        if _FIRST_OF_SEQUENTIAL in tensors.arrays:
            _refuse_radimagenet(tensors)
        return read_state_dict(tensors, image_size)


def _refuse_radimagenet(tensors: Tensors) -> None:
    raise ValueError(
        f"{tensors.where} holds a ResNet under RadImageNet's names, and nothing says how pixels "
        f"are normalised, which its authors' code does in several ways: {_IN_A_FOLDER}"
    )


def read_state_dict(
    tensors: Tensors, image_size: int | None, pixels: PixelNormalisation | None = None
) -> ImportedNetwork:
    """A ResNet from a state dict under torchvision's names.

    Args:
        tensors: the state dict; a classifier in it is ignored.
        image_size: None: 224.
        pixels: how pixels are normalised; None: by ImageNet's mean and deviation.

    Raises:
        ValueError: it is no ResNet's; a tensor is missing or of another shape; or `pixels` is None
            and the images have other than three channels.
    """
    config = resnet_config(tensors, image_size)
    if pixels is None and config.channels != 3:
        raise ValueError(
            f"{tensors.where} holds a ResNet for images of {config.channels} channels, and nothing "
            f"says how pixels are normalised: {_IN_A_FOLDER}, or "
            '{"known": "torchxrayvision-resnet50"} for torchxrayvision\'s'
        )
    params, stats = on_device(resnet_variables(tensors, config))
    tensors.refuse_unused(r"(fc|classifier|head)\.")
    return ImportedNetwork(config, params, stats, *(pixels or IMAGENET))


def with_torchvision_names(tensors: Tensors) -> Tensors:
    """The tensors of a transformers ResNet under torchvision's names."""

    def rename(name: str) -> str:
        for pattern, replacement in _FROM_TRANSFORMERS:
            name = re.sub(pattern, replacement, name)
        return name

    return Tensors({rename(name): array for name, array in tensors.arrays.items()}, tensors.where)


def resnet_config(tensors: Tensors, image_size: int | None) -> ResNetConfig:
    """The network that a state dict belongs to, by the names and shapes of its tensors.

    Args:
        tensors: the state dict, under torchvision's names.
        image_size: None: 224.

    Raises:
        ValueError: it is no ResNet's, or its stem is the one for small images and `image_size` is
            None.
    """
    arrays = tensors.arrays
    deep = _deep_stem(tensors)
    stem = arrays.get("conv1.weight" if deep is None else "conv1.6.weight")
    if stem is None or stem.ndim != 4 or "layer1.0.conv1.weight" not in arrays:
        lacking = "layer1.0.conv1.weight" if "conv1.weight" in arrays else "conv1.weight"
        raise ValueError(
            f"{tensors.where} holds no ResNet-18 or -50 as torchvision or timm names it: it lacks "
            f"the tensor {lacking}"
        )
    if stem.shape[2] not in (3, 7):
        raise ValueError(
            f"{tensors.where}: the tensor conv1.weight is {list(stem.shape)}; its last sides must "
            "be 7 or 3"
        )
    if deep is None and stem.shape[2] == 3 and image_size is None:
        raise ValueError(
            f"{tensors.where} is a ResNet for small images; say of which size: image_size=32, for "
            "instance"
        )
    depths: list[int] = []
    while f"layer{len(depths) + 1}.0.conv1.weight" in arrays:
        pattern = re.compile(rf"layer{len(depths) + 1}\.(\d+)\.")
        depths.append(1 + max(int(match[1]) for match in map(pattern.match, arrays) if match))
    bottleneck = "layer1.0.conv3.weight" in arrays
    width = stem.shape[0]
    if bottleneck:
        width = shape_of(tensors, "layer1.0.conv3.weight", 4)[0] // 4
    elif "layer1.0.conv2.weight" in arrays:
        width = shape_of(tensors, "layer1.0.conv2.weight", 4)[0]
    channels = stem if deep is None else arrays["conv1.0.weight"]
    return ResNetConfig(
        image_size=image_size or 224,
        channels=channels.shape[1],
        block="bottleneck" if bottleneck else "basic",
        depths=tuple(depths),
        width=width,
        stem="imagenet" if stem.shape[2] == 7 or deep is not None else "small_image",
        variant=_variant(tensors, deep, stem.shape[0], width, bottleneck),
    )


def _deep_stem(tensors: Tensors) -> tuple[int, int] | None:
    if "conv1.0.weight" not in tensors.arrays:
        return None
    first, second = (shape_of(tensors, f"conv1.{i}.weight", 4)[0] for i in (0, 3))
    return first, second


def _variant(
    tensors: Tensors, deep: tuple[int, int] | None, stem: int, width: int, bottleneck: bool
) -> ResNetVariant | None:
    """What the tensors have that a plain ResNet lacks; None: nothing."""
    groups, inner = 1, width
    if bottleneck:
        inner, of_group, _, _ = shape_of(tensors, "layer1.0.conv2.weight", 4)
        groups = max(inner // of_group, 1)
    averaged = re.compile(r"layer\d+\.0\.downsample\.1\.weight")
    found = ResNetVariant(
        groups=groups,
        inner_width=None if inner == width else inner,
        deep_stem=deep,
        stem_width=None if stem == width else stem,
        average_shortcut=any(
            averaged.fullmatch(name) and array.ndim == 4 for name, array in tensors.arrays.items()
        ),
        squeeze_excite="layer1.0.se.fc1.weight" in tensors.arrays,
    )
    return None if found == ResNetVariant() else found


def _timm_arguments(config: ResNetConfig) -> dict[str, Any]:
    """timm's arguments that tensors tell, in a network that has them."""
    parts = config.parts
    deep = parts.deep_stem
    kind = "" if deep is None else "deep" if deep[0] == deep[1] else "deep_tiered"
    return {
        "in_chans": config.channels,
        "layers": list(config.depths),
        "cardinality": parts.groups,
        "base_width": 64 * config.inner_width(0) // (config.width * parts.groups),
        "stem_type": kind,
        "stem_width": 64 if deep is None else deep[1],
        "avg_down": parts.average_shortcut,
    }


def _refuse_other_parts(
    name: re.Match[str], given: Mapping[str, Any], parts: ResNetVariant, where: str
) -> None:
    """Raises a ValueError if the tensors have other parts than timm's network of this name."""
    for what, argument, named, found in (
        ("squeeze and excitation", "block_args", name["kind"] == "se", parts.squeeze_excite),
        ("a stem of three convolutions", "stem_type", name["stem"] != "", bool(parts.deep_stem)),
        ("averaged shortcuts", "avg_down", name["stem"] in ("d", "t"), parts.average_shortcut),
        ("groups of channels", "cardinality", name["base"] == "next", parts.groups > 1),
    ):
        if argument not in given and named != found:
            raise ValueError(
                f"{where}: architecture is {name[0]}, timm's network of this name has "
                f"{'' if named else 'no '}{what}, and the tensors are of one "
                f"{'with' if found else 'without'}"
            )


def resnet_variables(tensors: Tensors, config: ResNetConfig) -> tuple[PyTree, PyTree]:
    """(params, batch_stats) of a ResNet, from torchvision's names. A classifier is ignored.

    Raises:
        ValueError: a tensor is missing or of another shape.
    """
    params: dict[str, PyTree] = {}
    stats: dict[str, PyTree] = {}
    parts = config.parts
    deep = parts.deep_stem or ()
    inputs = config.channels
    for i, width in enumerate(deep):
        params[f"stem_{i}"] = convolution(tensors, f"conv1.{3 * i}", inputs, width, 3)
        norm = batch_norm(tensors, f"conv1.{3 * i + 1}", width)
        params[f"stem_{i}_norm"], stats[f"stem_{i}_norm"] = norm
        inputs = width
    size = 7 if config.stem == "imagenet" and not deep else 3
    last = "conv1.6" if deep else "conv1"
    params["stem"] = convolution(tensors, last, inputs, config.stem_width, size)
    params["stem_norm"], stats["stem_norm"] = batch_norm(tensors, "bn1", config.stem_width)
    inputs = config.stem_width
    for stage, depth in enumerate(config.depths):
        for i in range(depth):
            ours, theirs = f"stage_{stage}_block_{i}", f"layer{stage + 1}.{i}"
            params[ours], stats[ours], inputs = _block(
                tensors, theirs, config, stage, inputs, first=i == 0
            )
    return params, stats


def _block(
    tensors: Tensors, theirs: str, config: ResNetConfig, stage: int, inputs: int, first: bool
) -> tuple[PyTree, PyTree, int]:
    """(params, batch_stats, outputs) of a block."""
    parts, width, inner = config.parts, config.width * 2**stage, config.inner_width(stage)
    # (size, outputs, groups) of each convolution
    layers = (
        [(3, width, 1), (3, width, 1)]
        if config.block == "basic"
        else [(1, inner, 1), (3, inner, parts.groups), (1, 4 * width, 1)]
    )
    block: dict[str, PyTree] = {}
    stats: dict[str, PyTree] = {}
    channels = inputs
    for k, (size, outputs, groups) in enumerate(layers, start=1):
        block[f"conv_{k}"] = convolution(
            tensors, f"{theirs}.conv{k}", channels, outputs, size, groups
        )
        block[f"norm_{k}"], stats[f"norm_{k}"] = batch_norm(tensors, f"{theirs}.bn{k}", outputs)
        channels = outputs
    if parts.squeeze_excite:
        hidden = parts.squeezed(channels)
        block["squeeze"] = {
            "reduce": pointwise(tensors, f"{theirs}.se.fc1", channels, hidden),
            "expand": pointwise(tensors, f"{theirs}.se.fc2", hidden, channels),
        }
    if channels != inputs or (stage > 0 and first):
        place = 1 if parts.average_shortcut else 0
        name = f"{theirs}.downsample"
        block["shortcut"] = convolution(tensors, f"{name}.{place}", inputs, channels, 1)
        norm = batch_norm(tensors, f"{name}.{place + 1}", channels)
        block["shortcut_norm"], stats["shortcut_norm"] = norm
    return block, stats, channels
