"""transformers' SigLIP, and SigLIP 2 of a fixed image size: the vision tower."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.attention_pooling import AttentionPooling
from examine_jax.models.vit import ViTConfig, ViTExtras
from examine_jax.models.weights.imported import (
    HALVES,
    ImportedNetwork,
    StoredNetwork,
    usual_pixels,
)
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.transformer import activation, read_transformer, transformer_config
from examine_jax.models.weights.vision_tower import (
    OF_TEXTS,
    PREFIX,
    tower_names,
    vision_configuration,
)

# SiglipVisionConfig's.
_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": True,
}


@dataclasses.dataclass(frozen=True)
class SigLIPFamily:
    """SigLIP, whole or the vision tower alone, with its attention pooling as features."""

    name: str = "siglip"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") in ("siglip", "siglip_vision_model")

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        tensors, where = stored.tensors, stored.where
        fields = vision_configuration(stored.configuration, _DEFAULTS, where)
        names = tower_names(tensors)
        head = bool(fields["vision_use_head"])
        if not head and stored.description.feature != "patch_mean":
            raise ValueError(
                f"{where}: vision_use_head is false, so that the network has no feature of a whole "
                'image: ask for the mean of its tokens in encoder.json ({"feature": "patch_mean"})'
            )
        config = transformer_config(
            fields,
            where,
            default_epsilon=1e-6,
            further=frozenset({"vision_use_head"}),
            class_token=False,
            pooling="mean",
        )
        if head:
            pooling = AttentionPooling(
                config.heads, config.mlp_width, mlp=activation(fields, where)
            )
            extras = ViTExtras(attention_pooling=pooling)
            config = dataclasses.replace(config, pooling="attention", extras=extras)
        pixels = stored.preprocessor_normalisation()
        pixels = usual_pixels(pixels, HALVES, config.channels, where)
        network = read_transformer(tensors, config, names, image_size, pixels)
        if head:
            prefix = PREFIX if names.norm.startswith(PREFIX) else ""
            pooler = _pooler(tensors, f"{prefix}head", config)
            network.params["attention_pooling"] = on_device(pooler)
        tensors.refuse_unused(rf"{OF_TEXTS}|classifier\.")
        return network


def _pooler(tensors: Tensors, name: str, config: ViTConfig) -> PyTree:
    """An AttentionPooler's parameters. The fused queries, keys and values lie in thirds."""
    width = config.width
    fused = tensors.take(f"{name}.attention.in_proj_weight", (3 * width, width)).T
    bias = tensors.take(f"{name}.attention.in_proj_bias", (3 * width,))
    return {
        "query": np.reshape(tensors.take(f"{name}.probe", (1, 1, width)), -1),
        "query_projection": {"kernel": fused[:, :width], "bias": bias[:width]},
        "keys_values": {"kernel": fused[:, width:], "bias": bias[width:]},
        "projection": tensors.dense(f"{name}.attention.out_proj", width, width),
        "norm": tensors.norm(f"{name}.layernorm", width),
        "expand": tensors.dense(f"{name}.mlp.fc1", width, config.mlp_width),
        "contract": tensors.dense(f"{name}.mlp.fc2", config.mlp_width, width),
    }
