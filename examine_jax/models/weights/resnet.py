"""Residual networks of torchvision, timm and transformers."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.weights.configuration import refuse_unknown_fields
from examine_jax.models.weights.imported import (
    IMAGENET,
    UNCHANGED,
    ImportedNetwork,
    PixelNormalisation,
    StoredNetwork,
    normalisation,
)
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import (
    model_args,
    refuse_other_arguments,
    refuse_other_pool,
)

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

# timm's networks of this form. Others have the same tensors, but blur where they shrink a map
# (resnetblur50, resnetaa50).
_TIMM_NAMES = re.compile(r"(tv_|ssl_|swsl_)?resnet(18|26|34|50|101|152|200)(\..*)?")
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
        return read_state_dict(with_torchvision_names(stored.tensors), image_size, pixels)


@dataclasses.dataclass(frozen=True)
class TimmResNetFamily:
    """timm's ResNet."""

    name: str = "timm's ResNets"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") is None and "resnet" in str(
            configuration.get("architecture")
        )

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        name = str(stored.configuration["architecture"])
        if not _TIMM_NAMES.fullmatch(name):
            raise ValueError(
                f"{stored.where}: architecture is {name}, which has another stem, other blocks or "
                "norms than the ResNets that can be read"
            )
        given = model_args(stored.configuration, stored.where)
        facts = {"in_chans": resnet_config(stored.tensors, image_size or 224).channels}
        refuse_other_arguments(given, facts, ("global_pool",), stored.where)
        refuse_other_pool(stored.configuration, given, stored.where)
        settings = stored.configuration.get("pretrained_cfg")
        settings = settings if isinstance(settings, dict) else {}
        pixels = stored.preprocessor_normalisation() or normalisation(
            settings.get("mean"), settings.get("std"), 1.0, stored.folder / "config.json"
        )
        return read_state_dict(stored.tensors, image_size, pixels)


@dataclasses.dataclass(frozen=True)
class BareResNetFamily:
    """A state dict under the names of torchvision and timm."""

    def recognises(self, tensors: Tensors) -> bool:
        return "conv1.weight" in tensors.arrays or "layer1.0.conv1.weight" in tensors.arrays

    def read(self, tensors: Tensors, image_size: int | None) -> ImportedNetwork:
        return read_state_dict(tensors, image_size)


def read_state_dict(
    tensors: Tensors, image_size: int | None, pixels: PixelNormalisation | None = None
) -> ImportedNetwork:
    """A ResNet from a state dict under torchvision's names.

    Args:
        tensors: the state dict; a classifier in it is ignored.
        image_size: None: 224.
        pixels: how pixels are normalised; None: ImageNet's mean and deviation, for three channels.

    Raises:
        ValueError: it is no ResNet's, or a tensor is missing or of another shape.
    """
    config = resnet_config(tensors, image_size)
    params, stats = jax.tree.map(jnp.asarray, resnet_variables(tensors, config))
    tensors.refuse_unused(r"(fc|classifier|head)\.")
    mean, deviation = pixels or (IMAGENET if config.channels == 3 else UNCHANGED)
    return ImportedNetwork(config, params, stats, mean, deviation)


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
    stem = arrays.get("conv1.weight")
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
    if stem.shape[2] == 3 and image_size is None:
        raise ValueError(
            f"{tensors.where} is a ResNet for small images; say of which size: image_size=32, for "
            "instance"
        )
    depths: list[int] = []
    while f"layer{len(depths) + 1}.0.conv1.weight" in arrays:
        pattern = re.compile(rf"layer{len(depths) + 1}\.(\d+)\.")
        depths.append(1 + max(int(match[1]) for match in map(pattern.match, arrays) if match))
    return ResNetConfig(
        image_size=image_size or 224,
        channels=stem.shape[1],
        block="bottleneck" if "layer1.0.conv3.weight" in arrays else "basic",
        depths=tuple(depths),
        width=stem.shape[0],
        stem="imagenet" if stem.shape[2] == 7 else "small_image",
    )


def resnet_variables(tensors: Tensors, config: ResNetConfig) -> tuple[PyTree, PyTree]:
    """(params, batch_stats) of a ResNet, from torchvision's names. A classifier is ignored.

    Raises:
        ValueError: a tensor is missing or of another shape.
    """
    params: dict[str, PyTree] = {}
    stats: dict[str, PyTree] = {}

    def convolution(name: str, inputs: int, outputs: int, size: int) -> PyTree:
        kernel = tensors.take(f"{name}.weight", (outputs, inputs, size, size))
        return {"kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))}

    def running(name: str, width: int) -> PyTree:
        return {
            "mean": tensors.take(f"{name}.running_mean", (width,)),
            "var": tensors.take(f"{name}.running_var", (width,)),
        }

    stem = 7 if config.stem == "imagenet" else 3
    params["stem"] = convolution("conv1", config.channels, config.width, stem)
    params["stem_norm"], stats["stem_norm"] = (
        tensors.norm("bn1", config.width),
        running("bn1", config.width),
    )
    inputs = config.width
    for stage, depth in enumerate(config.depths):
        width = config.width * 2**stage
        for i in range(depth):
            ours, theirs = f"stage_{stage}_block_{i}", f"layer{stage + 1}.{i}"
            sizes = (
                [(3, width), (3, width)]
                if config.block == "basic"
                else [(1, width), (3, width), (1, 4 * width)]
            )
            block, block_stats, channels = {}, {}, inputs
            for k, (size, outputs) in enumerate(sizes, start=1):
                block[f"conv_{k}"] = convolution(f"{theirs}.conv{k}", channels, outputs, size)
                block[f"norm_{k}"] = tensors.norm(f"{theirs}.bn{k}", outputs)
                block_stats[f"norm_{k}"] = running(f"{theirs}.bn{k}", outputs)
                channels = outputs
            if channels != inputs or (stage > 0 and i == 0):
                block["shortcut"] = convolution(f"{theirs}.downsample.0", inputs, channels, 1)
                block["shortcut_norm"] = tensors.norm(f"{theirs}.downsample.1", channels)
                block_stats["shortcut_norm"] = running(f"{theirs}.downsample.1", channels)
            params[ours], stats[ours], inputs = block, block_stats, channels
    return params, stats
