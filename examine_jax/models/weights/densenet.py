"""DenseNets of torchvision, timm and torchxrayvision."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.densenet import DenseNetConfig
from examine_jax.models.weights.convolutions import batch_norm, convolution
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

# Others blur (densenetblur121d) or have a stem of three convolutions (densenet264d).
_TIMM_NAMES = re.compile(r"(tv_)?densenet(121|161|169|201)(\..*)?")
# torchvision's first files; newer ones lack the second point.
_FROM_OLD_NAMES = ((r"\.(norm|conv)\.([12])\.", r".\1\2."),)
# A classifier, and torchxrayvision's thresholds of its findings.
_UNUSED = r"classifier\.|op_threshs$"
_STEM = "features.conv0.weight"


@dataclasses.dataclass(frozen=True)
class TimmDenseNetFamily:
    """timm's DenseNets."""

    name: str = "timm's DenseNets"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return re.match(r"(tv_)?densenet", str(configuration.get("architecture"))) is not None

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        name = str(configuration["architecture"])
        if not _TIMM_NAMES.fullmatch(name):
            raise ValueError(
                f"{where}: architecture is {name}, which has another stem or blurs, unlike the "
                "DenseNets that can be read (121, 161, 169, 201)"
            )
        given = model_args(configuration, where)
        tensors = renamed(stored.tensors, _FROM_OLD_NAMES)
        size = image_size or image_size_of(configuration, given, where) or 224
        config = densenet_config(tensors, size)
        facts = {
            "in_chans": config.channels,
            "growth_rate": config.growth,
            "bn_size": config.bottleneck,
            "block_config": list(config.depths),
        }
        taken = ("global_pool", "img_size", "memory_efficient")
        refuse_other_arguments(given, facts, taken, where)
        refuse_other_pool(configuration, given, where)
        return read_densenet(tensors, config, timm_pixels(stored, config.channels))


@dataclasses.dataclass(frozen=True)
class BareDenseNetFamily:
    """A state dict under torchvision's names, without a configuration."""

    def recognises(self, tensors: Tensors) -> bool:
        return _STEM in tensors.arrays

    def read(self, tensors: Tensors, image_size: int | None) -> ImportedNetwork:
        tensors = renamed(tensors, _FROM_OLD_NAMES)
        config = densenet_config(tensors, image_size or 224)
        if config.channels != 3:
            raise ValueError(
                f"{tensors.where} holds a DenseNet for images of {config.channels} channels, and "
                "nothing says how pixels are normalised: put it into a folder as model.safetensors "
                'with an encoder.json: {"known": "torchxrayvision"} for torchxrayvision\'s, or '
                '{"architecture": "densenet121", "mean": ..., "deviation": ...}'
            )
        return read_densenet(tensors, config, IMAGENET)


def read_densenet(
    tensors: Tensors, config: DenseNetConfig, pixels: PixelNormalisation
) -> ImportedNetwork:
    """A DenseNet from a state dict under torchvision's names.

    Raises:
        ValueError: a tensor is missing, misshapen or left over.
    """
    params, stats = on_device(_variables(tensors, config))
    tensors.refuse_unused(_UNUSED)
    return ImportedNetwork(config, params, stats, *pixels)


def densenet_config(tensors: Tensors, image_size: int) -> DenseNetConfig:
    """The network whose shapes tensors have, under torchvision's names.

    Raises:
        ValueError: they are no DenseNet's.
    """
    stem, channels, size, _ = shape_of(tensors, _STEM, 4)
    if size != 7:
        raise ValueError(
            f"{tensors.where}: the tensor {_STEM} is of {size} x {size} places; only the stem of 7 "
            "x 7 can be read"
        )
    depths: list[int] = []
    while f"features.denseblock{len(depths) + 1}.denselayer1.conv1.weight" in tensors.arrays:
        pattern = re.compile(rf"features\.denseblock{len(depths) + 1}\.denselayer(\d+)\.")
        depths.append(max(int(match[1]) for match in map(pattern.match, tensors.arrays) if match))
    growth, hidden, _, _ = shape_of(tensors, "features.denseblock1.denselayer1.conv2.weight", 4)
    if hidden % growth:
        raise ValueError(
            f"{tensors.where}: a layer's first convolution has {hidden} outputs, no multiple of "
            f"the second's {growth}: it is no DenseNet that can be read"
        )
    return DenseNetConfig(
        image_size=image_size,
        channels=channels,
        stem_width=stem,
        depths=tuple(depths),
        growth=growth,
        bottleneck=hidden // growth,
    )


def _variables(tensors: Tensors, config: DenseNetConfig) -> tuple[PyTree, PyTree]:
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    width, hidden = config.stem_width, config.bottleneck * config.growth
    params["stem"] = convolution(tensors, "features.conv0", config.channels, width, 7)
    params["stem_norm"], stats["stem_norm"] = batch_norm(tensors, "features.norm0", width)
    for stage, depth in enumerate(config.depths):
        if stage > 0:
            theirs, ours = f"features.transition{stage}", f"downsample_{stage}"
            scales, running = batch_norm(tensors, f"{theirs}.norm", width)
            kernel = convolution(tensors, f"{theirs}.conv", width, width // 2, 1)
            params[ours], stats[ours] = {"norm": scales, "conv": kernel}, {"norm": running}
            width //= 2
        for i in range(depth):
            theirs = f"features.denseblock{stage + 1}.denselayer{i + 1}"
            first, first_running = batch_norm(tensors, f"{theirs}.norm1", width)
            second, second_running = batch_norm(tensors, f"{theirs}.norm2", hidden)
            params[f"stage_{stage}_block_{i}"] = {
                "norm_1": first,
                "conv_1": convolution(tensors, f"{theirs}.conv1", width, hidden, 1),
                "norm_2": second,
                "conv_2": convolution(tensors, f"{theirs}.conv2", hidden, config.growth, 3),
            }
            running = {"norm_1": first_running, "norm_2": second_running}
            stats[f"stage_{stage}_block_{i}"] = running
            width += config.growth
    params["norm"], stats["norm"] = batch_norm(tensors, "features.norm5", width)
    return params, stats
