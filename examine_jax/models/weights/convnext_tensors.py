"""A ConvNeXt of ours under the names of timm and of transformers."""

import re

import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.convnext import ConvNeXtConfig
from examine_jax.models.weights.activations import transformers_activation
from examine_jax.models.weights.written import (
    WrittenNetwork,
    contiguous,
    dense_tensors,
    filter_tensor,
    norm_tensors,
    refuse_obstacles,
)

# timm's names to transformers'.
_TO_TRANSFORMERS = (
    (r"^stem\.0\.", "embeddings.patch_embeddings."),
    (r"^stem\.1\.", "embeddings.layernorm."),
    (r"^stages\.(\d+)\.downsample\.", r"encoder.stages.\1.downsampling_layer."),
    (r"^stages\.(\d+)\.blocks\.", r"encoder.stages.\1.layers."),
    (r"\.conv_dw\.", ".dwconv."),
    (r"(\d)\.norm\.", r"\1.layernorm."),
    (r"\.mlp\.fc([12])\.", r".pwconv\1."),
    (r"\.gamma$", ".layer_scale_parameter"),
    (r"\.mlp\.grn\.", ".grn."),
    (r"^head\.norm\.", "layernorm."),
)
_SAID = frozenset(
    {"image_size", "channels", "depths", "widths", "patch_size", "mlp", "layer_scale"}
    | {"response_norm", "layer_norm_epsilon", "head_epsilon"}
)
_EPSILON = 1e-6  # of all norms of transformers' ConvNeXt but the last
_BOTH = "a layer scale and a global response norm"


def convnext_to_transformers(
    config: ConvNeXtConfig, params: PyTree, batch_stats: PyTree
) -> WrittenNetwork:
    """A ConvNeXt as transformers' ConvNextModel or ConvNextV2Model.

    Raises:
        ValueError: transformers has no such network.
    """
    scaled = config.layer_scale is not None
    refuse_obstacles(
        "transformers",
        config,
        _SAID,
        [
            (_BOTH, scaled and config.response_norm),
            (
                f"layer norms with epsilon {config.layer_norm_epsilon}, not {_EPSILON}",
                config.layer_norm_epsilon != _EPSILON,
            ),
        ],
    )
    version = "V2" if config.response_norm else ""
    tensors = {}
    for name, array in convnext_tensors(config, params, scaled=not config.response_norm).items():
        if ".mlp.grn." in name:
            array = array.reshape(1, 1, 1, -1)
        for pattern, replacement in _TO_TRANSFORMERS:
            name = re.sub(pattern, replacement, name)
        tensors[name] = array
    configuration = {
        "architectures": [f"ConvNext{version}Model"],
        "model_type": f"convnext{version.lower()}",
        "num_channels": config.channels,
        "patch_size": config.patch_size,
        "num_stages": len(config.depths),
        "hidden_sizes": list(config.widths),
        "depths": list(config.depths),
        "hidden_act": transformers_activation(config.mlp),
        "layer_norm_eps": config.head_epsilon,
        "image_size": config.image_size,
        "dtype": "float32",
    }
    if not version:
        configuration["layer_scale_init_value"] = 1e-6  # only where it is above 0 are there factors
    return WrittenNetwork(tensors, configuration, "outputs.pooler_output")


def convnext_to_timm(config: ConvNeXtConfig, params: PyTree, batch_stats: PyTree) -> WrittenNetwork:
    """A ConvNeXt as timm's convnext_tiny or convnextv2_tiny of other sizes.

    Raises:
        ValueError: timm has no such network.
    """
    refuse_obstacles(
        "timm",
        config,
        _SAID,
        [
            (_BOTH, config.layer_scale is not None and config.response_norm),
            (f"the activation {config.mlp}", config.mlp != "gelu"),
            (f"{len(config.depths)} stages, not 4", len(config.depths) != 4),
            (
                "a last norm of another epsilon than the others",
                config.head_epsilon != config.layer_norm_epsilon,
            ),
        ],
    )
    configuration = {
        "architecture": "convnextv2_tiny" if config.response_norm else "convnext_tiny",
        "num_classes": 0,
        "num_features": config.features,
        "global_pool": "avg",
        "model_args": {
            "in_chans": config.channels,
            "depths": list(config.depths),
            "dims": list(config.widths),
            "patch_size": config.patch_size,
            "norm_eps": config.layer_norm_epsilon,
        },
        "pretrained_cfg": {"first_conv": "stem.0", "classifier": "head.fc", "pool_size": None},
    }
    tensors = convnext_tensors(config, params, scaled=not config.response_norm)
    return WrittenNetwork(tensors, configuration, "outputs")


def convnext_tensors(
    config: ConvNeXtConfig, params: PyTree, *, scaled: bool
) -> dict[str, np.ndarray]:
    """Tensors under timm's names; where the network has no layer scale but `scaled`, ones."""
    tensors: dict[str, np.ndarray] = {}

    def patches(name: str, part: PyTree, size: int, inputs: int) -> None:
        part = part["convolution"]
        tensors[f"{name}.weight"] = filter_tensor(part["kernel"], size, inputs)
        tensors[f"{name}.bias"] = np.asarray(part["bias"])

    inputs = config.channels
    for stage, (depth, width) in enumerate(zip(config.depths, config.widths)):
        if stage == 0:
            patches("stem.0", params["stem"], config.patch_size, inputs)
            tensors |= norm_tensors("stem.1", params["stem_norm"])
        else:
            ours, theirs = f"downsample_{stage}", f"stages.{stage}.downsample"
            tensors |= norm_tensors(f"{theirs}.0", params[f"{ours}_norm"])
            patches(f"{theirs}.1", params[ours], 2, inputs)
        for i in range(depth):
            block, name = params[f"stage_{stage}_block_{i}"], f"stages.{stage}.blocks.{i}"
            tensors[f"{name}.conv_dw.weight"] = np.asarray(block["kernel"]).transpose(3, 2, 0, 1)
            tensors[f"{name}.conv_dw.bias"] = np.asarray(block["bias"])
            tensors |= norm_tensors(f"{name}.norm", block["norm"])
            tensors |= dense_tensors(f"{name}.mlp.fc1", block["expand"])
            tensors |= dense_tensors(f"{name}.mlp.fc2", block["contract"])
            if scaled:
                gamma = block.get("scale", np.ones(width, np.float32))
                tensors[f"{name}.gamma"] = np.asarray(gamma)
            if config.response_norm:
                tensors |= norm_tensors(f"{name}.mlp.grn", block["response_norm"])
        inputs = width
    return contiguous(tensors | norm_tensors("head.norm", params["norm"]))
