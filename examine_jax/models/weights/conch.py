"""CONCH's vision tower: timm's ViT-B/16 and CoCa's attention pooling (MahmoodLab/CONCH)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.cross_pooling import CrossAttentionPooling
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.configuration import whole_number
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import model_args, shape_of
from examine_jax.models.weights.timm_vit import TimmViTFamily

NAME = "conch_ViT-B-16"
_TRUNK = "vit_base_patch16_224"
_HEADS = "attn_pooler_heads"
# The text towers, the pooling that makes tokens for captions, and the map into the space of images
# and texts, which CONCH's authors leave out of the features (proj_contrast=False).
_UNUSED = (
    r"visual\.trunk\.|visual\.(attn_pool|ln)_caption\.|visual\.proj_contrast$"
    r"|text\.|text_decoder\.|logit_scale$"
)


@dataclasses.dataclass(frozen=True)
class CONCHFamily:
    """CONCH, with what its authors' encode_image gives without projection as features."""

    name: str = NAME

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("architecture") == NAME

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        given = dict(model_args(stored.configuration, stored.where))
        heads = whole_number({_HEADS: given.pop(_HEADS, 8)}, _HEADS, stored.where)
        trunk = {**stored.configuration, "architecture": _TRUNK, "model_args": given}
        inner = dataclasses.replace(
            stored, configuration=trunk, tensors=stored.tensors.below("visual.trunk.")
        )
        network = TimmViTFamily().read(inner, image_size)
        encoder, tensors = network.encoder, stored.tensors
        assert isinstance(encoder, ViTConfig)
        queries, width = shape_of(tensors, "visual.attn_pool_contrast.query", 2)
        if queries != 1:
            raise ValueError(f"{tensors.where}: {queries} queries pool an image; 1 can be read")
        try:
            pooling = CrossAttentionPooling(width, heads)
        except ValueError as error:
            raise ValueError(f"{stored.where}: {error}") from error
        extras = dataclasses.replace(encoder.parts, attention_pooling=pooling)
        encoder = dataclasses.replace(encoder, pooling="attention", extras=extras)
        pooler = on_device(_pooler(tensors, encoder.width, width))
        tensors.refuse_unused(_UNUSED)
        params = {**network.params, "attention_pooling": pooler}
        return dataclasses.replace(network, encoder=encoder, params=params)


def _pooler(tensors: Tensors, inputs: int, width: int) -> PyTree:
    """A CrossAttentionPooler's parameters; one tensor holds three of its biases."""
    name = "visual.attn_pool_contrast"
    bias = tensors.take(f"{name}.attn.in_proj_bias", (3 * width,))
    kernels = [
        tensors.take(f"{name}.attn.{part}_proj_weight", (width, width if part == "q" else inputs)).T
        for part in "qkv"
    ]
    return {
        "query": tensors.take(f"{name}.query", (1, width))[0],
        "query_norm": tensors.norm(f"{name}.ln_q", width),
        "tokens_norm": tensors.norm(f"{name}.ln_k", inputs),
        "query_projection": {"kernel": kernels[0], "bias": bias[:width]},
        "keys_values": {"kernel": np.concatenate(kernels[1:], axis=1), "bias": bias[width:]},
        "projection": tensors.dense(f"{name}.attn.out_proj", width, width),
        "norm": tensors.norm("visual.ln_contrast", width),
    }
