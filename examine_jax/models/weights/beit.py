"""transformers' BEiT, and data2vec's vision transformer, which is one."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.common.on_device import on_device
from examine_jax.models.vit import ViTExtras
from examine_jax.models.weights.block_parts import PartNames, add_block_parts
from examine_jax.models.weights.imported import (
    HALVES,
    ImportedNetwork,
    StoredNetwork,
    usual_pixels,
)
from examine_jax.models.weights.relative_tables import table_by_transformers
from examine_jax.models.weights.transformer import (
    Biases,
    TransformerNames,
    is_on,
    read_transformer,
    renamed,
    transformer_config,
)
from examine_jax.models.weights.vit import VIT_NAMES

_BLOCK = VIT_NAMES._replace(scale="lambda_{}")
_PARTS = PartNames(
    table="encoder.layer.{}.attention.attention.relative_position_bias.relative_position_bias_table",
    shared_table="encoder.relative_position_bias.relative_position_bias_table",
)
# transformers 5 uses other names in memory than in files.
_IN_MEMORY = (
    (
        r"^layers\.(\d+)\.relative_position_bias\.",
        r"encoder.layer.\1.attention.attention."
        r"relative_position_bias.",
    ),
    (r"^layers\.", "encoder.layer."),
    (r"^shared_position_bias\.", "encoder.relative_position_bias."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
_FIELDS = frozenset(
    {"use_relative_position_bias", "use_shared_relative_position_bias", "use_mean_pooling"}
    | {"use_absolute_position_embeddings", "layer_scale_init_value"}
    # Of decoders for masked images and segmentation.
    | {"vocab_size", "pool_scales", "use_auxiliary_head", "auxiliary_channels"}
    | {"auxiliary_num_convs", "auxiliary_concat_input", "segmentation_indices", "add_fpn"}
)


@dataclasses.dataclass(frozen=True)
class BEiTFamily:
    """BEiT, with the mean of its patches and a norm as features, or its class token.

    use_mean_pooling says which. A model for masked images has its norm before the mean. Tables of
    relative biases are resampled as in transformers.
    """

    name: str = "beit"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") in ("beit", "data2vec-vision")

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        # The prefix goes first: what stands beside it belongs to a head.
        tensors = renamed(stored.tensors, ((r"^(beit|data2vec_vision)\.", ""), *_IN_MEMORY))
        arrays = tensors.arrays
        relative, shared, absolute = (
            is_on(configuration, f"use_{name}", where, default=False)
            for name in (
                "relative_position_bias",
                "shared_relative_position_bias",
                "absolute_position_embeddings",
            )
        )
        mean = is_on(configuration, "use_mean_pooling", where, default=True)
        pooled_norm = mean and not ("lm_head.weight" in arrays and "layernorm.weight" in arrays)
        scale = configuration.get("layer_scale_init_value", 0.1)
        if isinstance(scale, bool) or not isinstance(scale, int | float):
            raise ValueError(f"{where}: layer_scale_init_value is {scale!r}; it must be a number")
        parts = ViTExtras(
            relative_bias=relative, shared_relative_bias=shared, pooled_norm=pooled_norm
        )
        config = transformer_config(
            configuration,
            where,
            further=_FIELDS,
            pooling="mean" if mean else "class_token",
            final_norm=not pooled_norm,
            positions="learned" if absolute else "relative",
            layer_scale=1.0 if scale > 0 else None,
            extras=None if parts == ViTExtras() else parts,
        )
        said = stored.preprocessor_normalisation()
        pixels = usual_pixels(said, HALVES, config.channels, where)
        network = read_transformer(
            tensors,
            config,
            TransformerNames(_BLOCK),
            image_size,
            pixels,
            biases=Biases(key=False),
        )
        add_block_parts(network, tensors, config, _PARTS, table_by_transformers)
        if pooled_norm:
            norm = tensors.norm("pooler.layernorm", config.width)
            network.params["pooled_norm"] = on_device(norm)
        tensors.refuse_unused(
            r"embeddings\.mask_token|classifier\.|lm_head\.|.*relative_position_index$"
        )
        return network
