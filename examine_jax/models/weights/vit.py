"""transformers' ViT."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.models.weights.imported import (
    HALVES,
    ImportedNetwork,
    StoredNetwork,
    usual_pixels,
)
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.transformer import (
    BlockNames,
    TransformerNames,
    read_transformer,
    renamed,
    transformer_config,
)

VIT_NAMES = BlockNames("layernorm_before", "layernorm_after", "intermediate.dense", "output.dense")
_PREFIX = "vit."

# transformers 5 uses other names for ViT's and ViTMAE's tensors in memory than in files.
_IN_MEMORY = (
    (r"^(vit\.|)layers\.", r"\1encoder.layer."),
    (r"^decoder\.decoder_encoder\.layer\.", "decoder.decoder_layers."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


@dataclasses.dataclass(frozen=True)
class ViTFamily:
    """ViT, with its class token as features."""

    name: str = "vit"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == "vit"

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        pixels = stored.preprocessor_normalisation()
        config = transformer_config(stored.configuration, stored.where, pooling="class_token")
        pixels = usual_pixels(pixels, HALVES, config.channels, stored.where)
        tensors = with_names_on_disk(stored.tensors)
        network = read_transformer(tensors, config, vit_names(tensors), image_size, pixels)
        tensors.refuse_unused(r"(vit\.)?(pooler\.|embeddings\.mask_token)|classifier\.|decoder\.")
        return network


def vit_names(tensors: Tensors) -> TransformerNames:
    """The names of a ViT's or ViTMAE's encoder, which stands alone or within another model."""
    names = TransformerNames(VIT_NAMES)
    within = _PREFIX + names.class_token in tensors.arrays
    return names.below(_PREFIX) if within else names


def with_names_on_disk(tensors: Tensors) -> Tensors:
    """The tensors of a ViT or ViTMAE under the names that transformers uses in files."""
    return renamed(tensors, _IN_MEMORY)
