"""A vision transformer of ours as timm's VisionTransformer of other sizes."""

from typing import Any

import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.attention_pooling import AttentionPooling
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.timm_vit import TIMM_VIT_NAMES
from examine_jax.models.weights.vit_to_transformers import SAID
from examine_jax.models.weights.written import (
    WrittenNetwork,
    contiguous,
    dense_tensors,
    norm_tensors,
    refuse_obstacles,
    transformer_tensors,
)

# timm's networks whose arguments we replace, by the epsilon of their layer norms; and the one whose
# MLPs are gated.
_PLAIN = {1e-6: "vit_base_patch16_224", 1e-5: "vit_base_patch16_clip_224"}
_GATED = "vit_giant_patch14_dinov2"
_GATES = {"swiglu": "silu", "geglu": "gelu", "geglu_tanh": "gelu_tanh"}
# "": timm gives all tokens, from which the user takes these two.
_POOLS = {"class_token": "token", "mean": "avg", "attention": "map", "class_and_mean": ""}


def vit_to_timm(config: ViTConfig, params: PyTree, batch_stats: PyTree) -> WrittenNetwork:
    """A vision transformer as a network of timm, with its arguments in model_args.

    Raises:
        ValueError: timm has no such network; the message names what it lacks.
    """
    parts, gated = config.parts, MLP_FORMS[config.mlp].gated
    name = _GATED if gated else _PLAIN.get(config.layer_norm_epsilon)
    pooler = parts.attention_pooling if config.pooling == "attention" else None
    patch_bias = np.any(np.asarray(params["patch_embedding"]["bias"]))
    own_pooler = AttentionPooling(config.heads, config.mlp_width, config.mlp)
    refuse_obstacles(
        "timm",
        config,
        SAID,
        [
            (f"{config.positions} positions", config.positions not in ("learned", "sincos")),
            ("turned queries and keys", parts.rotary is not None),
            ("norms after its branches", parts.norm_after),
            ("a projection", parts.projection is not None),
            (
                f"layer norms with epsilon {config.layer_norm_epsilon}",
                name is None or (gated and config.layer_norm_epsilon != 1e-6),
            ),
            ("a norm after the blocks and another", config.final_norm and parts.pooled_norm),
            (
                "a norm before the first block after patches with a bias",
                parts.embedding_norm and bool(patch_bias),
            ),
            (
                "attention pooling of other heads or another MLP than the blocks'",
                pooler is not None and (gated or pooler != own_pooler),
            ),
        ],
    )
    hidden = (2 if gated else 1) * config.mlp_width
    arguments: dict[str, Any] = {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "in_chans": config.channels,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "mlp_ratio": _ratio(hidden, config.width),
        "act_layer": _GATES[config.mlp] if gated else config.mlp,
        "qkv_bias": config.qkv_bias,
        "qk_norm": parts.query_key_norm,
        "init_values": config.layer_scale or 0.0,
        "class_token": config.class_token,
        "no_embed_class": parts.registers > 0,
        "reg_tokens": parts.registers,
        "pre_norm": parts.embedding_norm,
        "final_norm": config.final_norm or parts.pooled_norm,
        "fc_norm": parts.pooled_norm,
        "global_pool": _POOLS[config.pooling],
    }
    rows = int(config.class_token and not parts.registers)
    tensors = transformer_tensors(
        config, params, TIMM_VIT_NAMES, position_rows=rows, patch_bias=not parts.embedding_norm
    )
    if parts.pooled_norm:
        tensors |= norm_tensors("fc_norm", params["pooled_norm"])
    if pooler is not None:
        tensors |= _pooler_tensors(params["attention_pooling"])
    feature = "outputs"
    if config.pooling == "class_and_mean":
        first = config.leading
        feature = f"torch.cat([outputs[:, 0], outputs[:, {first}:].mean(1)], 1)"
    configuration = {
        "architecture": name,
        "num_classes": 0,
        "num_features": config.width,
        "global_pool": arguments["global_pool"],
        "model_args": arguments,
        "pretrained_cfg": {
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "pool_size": None,
            "fixed_input_size": True,
        },
    }
    return WrittenNetwork(contiguous(tensors), configuration, feature)


def _ratio(hidden: int, width: int) -> float:
    """The mlp_ratio of which timm's int(width * ratio) is this width of the MLP."""
    exact = hidden / width
    return exact if int(width * exact) == hidden else (hidden + 0.5) / width


def _pooler_tensors(params: PyTree) -> dict[str, np.ndarray]:
    tensors = {"attn_pool.latent": np.reshape(params["query"], (1, 1, -1))}
    for theirs, ours in (
        ("q", "query_projection"),
        ("kv", "keys_values"),
        ("proj", "projection"),
        ("mlp.fc1", "expand"),
        ("mlp.fc2", "contract"),
    ):
        tensors |= dense_tensors(f"attn_pool.{theirs}", params[ours])
    return tensors | norm_tensors("attn_pool.norm", params["norm"])
