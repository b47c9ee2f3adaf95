"""A vision transformer of ours as transformers' ViT or DINOv2."""

from typing import Any

import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.activations import transformers_activation
from examine_jax.models.weights.dinov2 import SWIGLU_NAMES, dinov2_mlp_width
from examine_jax.models.weights.transformer import BlockNames, TransformerNames
from examine_jax.models.weights.vit import VIT_NAMES
from examine_jax.models.weights.written import (
    WrittenNetwork,
    contiguous,
    refuse_obstacles,
    transformer_tensors,
)

_DINOV2_NAMES = BlockNames("norm1", "norm2", "mlp.fc1", "mlp.fc2")
_LARGEST_RATIO = 64
# What the writers of vision transformers look at.
SAID = frozenset(
    {"image_size", "patch_size", "channels", "width", "depth", "heads", "mlp_width", "mlp"}
    | {"class_token", "pooling", "final_norm", "layer_norm_epsilon", "positions", "qkv_bias"}
    | {"layer_scale", "registers", "rotary", "embedding_norm", "query_key_norm", "norm_after"}
    | {"attention_pooling", "pooled_norm", "projection", "wide"}
)
# The features by pooling, where `first` is the first patch among the tokens.
FEATURES = {
    "class_token": "outputs.last_hidden_state[:, 0]",
    "mean": "outputs.last_hidden_state[:, {first}:].mean(1)",
    "class_and_mean": "torch.cat([outputs.last_hidden_state[:, 0], "
    "outputs.last_hidden_state[:, {first}:].mean(1)], 1)",
}


def vit_to_transformers(config: ViTConfig, params: PyTree, batch_stats: PyTree) -> WrittenNetwork:
    """A vision transformer as a ViTModel; with registers, layer scale or SwiGLU, as DINOv2's.

    Raises:
        ValueError: transformers has no such network; the message names what it lacks.
    """
    parts, gated = config.parts, MLP_FORMS[config.mlp].gated
    dino = gated or parts.registers > 0 or config.layer_scale is not None
    ratio = _mlp_ratio(config) if dino else None
    refuse_obstacles(
        "transformers",
        config,
        SAID,
        [
            ("no class token", not config.class_token),
            ("no layer norm at its end", not config.final_norm),
            (f"{config.positions} positions", config.positions not in ("learned", "sincos")),
            ("turned queries and keys", parts.rotary is not None),
            ("a norm before the first block", parts.embedding_norm),
            ("norms of queries and keys", parts.query_key_norm),
            ("norms after its branches", parts.norm_after),
            ("attention pooling", config.pooling == "attention"),
            ("a norm after the pooling", parts.pooled_norm),
            ("a projection", parts.projection is not None),
            (f"the gated MLP {config.mlp}", gated and config.mlp != "swiglu"),
            (f"an MLP {config.mlp_width} wide beside tokens of {config.width}", dino and not ratio),
        ],
    )
    sizes: dict[str, Any] = {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "layer_norm_eps": config.layer_norm_epsilon,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "num_channels": config.channels,
        "qkv_bias": config.qkv_bias,
        "hidden_act": "gelu" if gated else transformers_activation(config.mlp),
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "dtype": "float32",
    }
    feature = FEATURES[config.pooling].format(first=config.leading)
    if not dino:
        configuration = {"architectures": ["ViTModel"], "model_type": "vit"} | sizes
        configuration["intermediate_size"] = config.mlp_width
        names = TransformerNames(VIT_NAMES)
        tensors = transformer_tensors(config, params, names, position_rows=1)
        return WrittenNetwork(contiguous(tensors), configuration, feature)
    registers = parts.registers > 0
    kind = "WithRegisters" if registers else ""
    configuration = {
        "architectures": [f"Dinov2{kind}Model"],
        "model_type": "dinov2_with_registers" if registers else "dinov2",
        **sizes,
        "mlp_ratio": ratio,
        "use_swiglu_ffn": gated,
        "layerscale_value": 1.0,
    }
    if registers:
        configuration["num_register_tokens"] = parts.registers
    names = TransformerNames(SWIGLU_NAMES if gated else _DINOV2_NAMES)
    tensors = transformer_tensors(config, params, names, position_rows=1)
    tensors["embeddings.mask_token"] = np.zeros((1, config.width), np.float32)
    if config.layer_scale is None:
        for i in range(config.depth):
            for k in (1, 2):
                name = f"{names.blocks.format(i)}.{names.block.scale.format(k)}"
                tensors[name] = np.ones(config.width, np.float32)
    return WrittenNetwork(contiguous(tensors), configuration, feature)


def _mlp_ratio(config: ViTConfig) -> int | None:
    """The mlp_ratio that gives this MLP in DINOv2; None: there is none."""
    gated = MLP_FORMS[config.mlp].gated
    for ratio in range(1, _LARGEST_RATIO + 1):
        if dinov2_mlp_width(config.width, ratio, gated) == config.mlp_width:
            return ratio
    return None
