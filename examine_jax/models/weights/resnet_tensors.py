"""A residual network of ours under the names of torchvision and timm, and of transformers."""

import re
from collections.abc import Callable

import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.weights.written import (
    WrittenNetwork,
    contiguous,
    norm_tensors,
    refuse_obstacles,
)

# torchvision's names to transformers'.
_TO_TRANSFORMERS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^conv1\.", "embedder.embedder.convolution."),
    (r"^bn1\.", "embedder.embedder.normalization."),
    (r"^layer(\d+)\.(\d+)\.", lambda m: f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}."),
    (r"\.conv(\d+)\.", lambda m: f".layer.{int(m[1]) - 1}.convolution."),
    (r"\.bn(\d+)\.", lambda m: f".layer.{int(m[1]) - 1}.normalization."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
)
# timm's names by block and depths.
_TIMM: dict[tuple[str, tuple[int, ...]], str] = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (2, 2, 2, 2)): "resnet26",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
    ("bottleneck", (3, 24, 36, 3)): "resnet200",
}
_SAID = ("image_size", "channels", "block", "depths", "width", "stem")
_SMALL_STEM = "a stem for small images (3 x 3 without a max-pool)"


def resnet_to_transformers(
    config: ResNetConfig, params: PyTree, batch_stats: PyTree
) -> WrittenNetwork:
    """A ResNet as transformers' ResNetModel.

    Raises:
        ValueError: it has another stem.
    """
    obstacles = [(_SMALL_STEM, config.stem != "imagenet")]
    refuse_obstacles("transformers", config, _SAID, obstacles)
    tensors = {}
    for name, array in resnet_tensors(config, params, batch_stats).items():
        for pattern, replacement in _TO_TRANSFORMERS:
            name = re.sub(pattern, replacement, name)
        tensors[name] = array
    configuration = {
        "architectures": ["ResNetModel"],
        "model_type": "resnet",
        "num_channels": config.channels,
        "embedding_size": config.width,
        "hidden_sizes": list(config.map_widths),
        "depths": list(config.depths),
        "layer_type": config.block,
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
        "dtype": "float32",
    }
    return WrittenNetwork(tensors, configuration, "outputs.pooler_output.flatten(1)")


def resnet_to_timm(config: ResNetConfig, params: PyTree, batch_stats: PyTree) -> WrittenNetwork:
    """A ResNet as timm's network of its blocks and depths.

    Raises:
        ValueError: timm has no such network.
    """
    name = _TIMM.get((config.block, config.depths))
    refuse_obstacles(
        "timm",
        config,
        _SAID,
        [
            (_SMALL_STEM, config.stem != "imagenet"),
            (f"a first width of {config.width}, not 64", config.width != 64),
            (f"{config.block} blocks of the depths {list(config.depths)}", name is None),
        ],
    )
    configuration = {
        "architecture": name,
        "num_classes": 0,
        "num_features": config.features,
        "global_pool": "avg",
        "model_args": {"in_chans": config.channels},
        "pretrained_cfg": {"first_conv": "conv1", "classifier": "fc", "pool_size": None},
    }
    return WrittenNetwork(resnet_tensors(config, params, batch_stats), configuration, "outputs")


def resnet_tensors(
    config: ResNetConfig, params: PyTree, batch_stats: PyTree
) -> dict[str, np.ndarray]:
    """The inverse of `resnet_variables`: tensors under torchvision's names."""
    tensors: dict[str, np.ndarray] = {}

    def convolution(name: str, part: PyTree) -> None:
        tensors[f"{name}.weight"] = np.asarray(part["kernel"]).transpose(3, 2, 0, 1)

    def norm(name: str, part: PyTree, running: PyTree) -> None:
        tensors.update(norm_tensors(name, part))
        tensors[f"{name}.running_mean"] = np.asarray(running["mean"])
        tensors[f"{name}.running_var"] = np.asarray(running["var"])
        tensors[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)

    convolution("conv1", params["stem"])
    norm("bn1", params["stem_norm"], batch_stats["stem_norm"])
    for stage, depth in enumerate(config.depths):
        for i in range(depth):
            ours, theirs = f"stage_{stage}_block_{i}", f"layer{stage + 1}.{i}"
            block, running = params[ours], batch_stats[ours]
            for k in range(1, 3 if config.block == "basic" else 4):
                convolution(f"{theirs}.conv{k}", block[f"conv_{k}"])
                norm(f"{theirs}.bn{k}", block[f"norm_{k}"], running[f"norm_{k}"])
            if "shortcut" in block:
                convolution(f"{theirs}.downsample.0", block["shortcut"])
                norm(f"{theirs}.downsample.1", block["shortcut_norm"], running["shortcut_norm"])
    return contiguous(tensors)
