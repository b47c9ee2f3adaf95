"""transformers' DINOv2."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.models.weights.configuration import whole_number
from examine_jax.models.weights.imported import IMAGENET, UNCHANGED, ImportedNetwork, StoredNetwork
from examine_jax.models.weights.transformer import BlockNames, read_transformer, transformer_config

_NAMES = BlockNames("norm1", "norm2", "mlp.fc1", "mlp.fc2")
_SWIGLU_NAMES = BlockNames("norm1", "norm2", "mlp.weights_in", "mlp.weights_out")


@dataclasses.dataclass(frozen=True)
class DINOv2Family:
    """DINOv2, with its class token as features."""

    name: str = "dinov2"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == "dinov2"

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        pixels = stored.preprocessor_normalisation()
        swiglu = bool(configuration.get("use_swiglu_ffn"))
        width = whole_number(configuration, "hidden_size", where)
        mlp_width = width * whole_number(configuration, "mlp_ratio", where)
        if swiglu:  # transformers rounds two thirds of it up to a multiple of 8
            mlp_width = (mlp_width * 2 // 3 + 7) // 8 * 8
        try:
            layer_scale = float(configuration.get("layerscale_value", 1.0))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
        config = transformer_config(
            configuration,
            where,
            mlp_width=mlp_width,
            default_epsilon=1e-6,
            further=frozenset({"use_swiglu_ffn", "mlp_ratio", "layerscale_value"}),
            pooling="class_token",
            mlp="swiglu" if swiglu else "gelu",
            layer_scale=layer_scale,
        )
        pixels = pixels or (IMAGENET if config.channels == 3 else UNCHANGED)
        names = _SWIGLU_NAMES if swiglu else _NAMES
        network = read_transformer(stored.tensors, config, names, "dinov2.", image_size, pixels)
        stored.tensors.refuse_unused(r"(dinov2\.)?embeddings\.mask_token|classifier\.")
        return network
