"""Shared by transformers' CLIP and SigLIP: a vision tower within a model of images and texts."""

from collections.abc import Mapping
from typing import Any

from examine_jax.models.weights.configuration import refuse_unknown_fields
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.transformer import BlockNames, TransformerNames

PREFIX = "vision_model."
BLOCK = BlockNames(
    "layer_norm1",
    "layer_norm2",
    "mlp.fc1",
    "mlp.fc2",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    projection="self_attn.out_proj",
)
NAMES = TransformerNames(
    BLOCK,
    patches="embeddings.patch_embedding",
    class_token="embeddings.class_embedding",
    positions="embeddings.position_embedding.weight",
    blocks="encoder.layers.{}",
    norm="post_layernorm",
    embedding_norm="pre_layrnorm",
)
# The rest of a model of images and texts.
OF_TEXTS = r"text_model\.|text_projection\.|logit_(scale|bias)$|.*\.position_ids$"
_AROUND = frozenset(
    {"vision_config", "text_config", "vision_config_dict", "text_config_dict", "projection_dim"}
    | {"logit_scale_init_value"}
)


def vision_configuration(
    configuration: Mapping[str, Any], defaults: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The vision tower's fields, with its class's defaults where they are left out.

    transformers writes no field of an inner configuration that has the class's default.

    Raises:
        ValueError: an outer field is unknown, or the fields are contradictory.
    """
    if not str(configuration.get("model_type")).endswith("_vision_model"):
        refuse_unknown_fields(configuration, _AROUND, where)
        inner = configuration.get("vision_config")
        inner = {} if inner is None else inner
        if not isinstance(inner, dict):
            raise ValueError(f"{where}: vision_config is {inner!r}; it must be an object")
        again = configuration.get("vision_config_dict") or {}
        for name, value in again.items():
            if {**defaults, **inner}.get(name) != value and name in defaults:
                raise ValueError(
                    f"{where}: vision_config_dict has {name} {value!r}, vision_config "
                    f"{inner.get(name)!r}: say which holds in encoder.json "
                    '({"configuration": {"vision_config_dict": null}})'
                )
        configuration = inner
    return {**defaults, **{k: v for k, v in configuration.items() if v is not None}}


def tower_names(tensors: Tensors) -> TransformerNames:
    """The names of a vision tower's tensors, which may stand alone.

    Raises:
        ValueError: there is no vision tower, but a text tower alone.
    """
    within = any(name.startswith(PREFIX) for name in tensors.arrays)
    if not within and any(name.startswith("text_model.") for name in tensors.arrays):
        raise ValueError(
            f"{tensors.where} holds a text tower alone, which takes no images; give the weights of "
            "the vision tower or of the whole model"
        )
    return NAMES.below(PREFIX) if within else NAMES
