"""transformers' vision transformers of DINOv3."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.models.rotary_positions import RotaryPositions
from examine_jax.models.vit import ViTExtras
from examine_jax.models.weights.imported import (
    IMAGENET,
    ImportedNetwork,
    StoredNetwork,
    usual_pixels,
)
from examine_jax.models.weights.transformer import (
    GATED,
    Biases,
    BlockNames,
    TransformerNames,
    activation,
    is_on,
    read_transformer,
    renamed,
    transformer_config,
)

_BLOCK = BlockNames(
    "norm1",
    "norm2",
    "mlp.up_proj",
    "mlp.down_proj",
    qkv=("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    projection="attention.o_proj",
)
_GATED_BLOCK = _BLOCK._replace(gate="mlp.gate_proj")
_NAMES = TransformerNames(
    _BLOCK, patches="embeddings.patch_embeddings", blocks="layer.{}", norm="norm"
)
_IN_MEMORY = ((r"^model\.layer\.", "layer."),)  # transformers 5
_FIELDS = frozenset(
    {"rope_theta", "layerscale_value", "use_gated_mlp", "num_register_tokens"}
    | {f"{part}_bias" for part in ("query", "key", "value", "proj", "mlp")}
    # They change training alone.
    | {f"pos_embed_{change}" for change in ("shift", "jitter", "rescale")}
)


@dataclasses.dataclass(frozen=True)
class DINOv3Family:
    """DINOv3's vision transformers, with the class token as features."""

    name: str = "dinov3_vit"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == "dinov3_vit"

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        tensors = renamed(stored.tensors, _IN_MEMORY)
        plain = activation(configuration, where)
        gated = is_on(configuration, "use_gated_mlp", where, default=False)
        if gated and plain not in GATED:
            raise ValueError(
                f"{where}: hidden_act is {configuration.get('hidden_act')!r}, which no gated MLP "
                f"here has; there are {', '.join(GATED)}"
            )
        registers = configuration.get("num_register_tokens") or 0
        if not isinstance(registers, int):
            raise ValueError(
                f"{where}: num_register_tokens is {registers!r}; it must be a whole number from 0"
            )
        try:
            extras = ViTExtras(
                registers=registers,
                rotary=RotaryPositions(float(configuration.get("rope_theta", 100.0))),
            )
            layer_scale = float(configuration.get("layerscale_value", 1.0))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from error
        biases = Biases(
            query=is_on(configuration, "query_bias", where, default=True),
            key=is_on(configuration, "key_bias", where, default=False),
            value=is_on(configuration, "value_bias", where, default=True),
            projection=is_on(configuration, "proj_bias", where, default=True),
            mlp=is_on(configuration, "mlp_bias", where, default=True),
        )
        config = transformer_config(
            configuration,
            where,
            default_epsilon=1e-5,
            further=_FIELDS,
            pooling="class_token",
            positions="rotary",
            mlp=GATED[plain] if gated else plain,
            qkv_bias=biases.query or biases.key or biases.value,
            layer_scale=layer_scale,
            extras=extras,
        )
        pixels = stored.preprocessor_normalisation()
        pixels = usual_pixels(pixels, IMAGENET, config.channels, where)
        names = _NAMES._replace(block=_GATED_BLOCK if gated else _BLOCK)
        size = image_size or stored.size_in_use(config.image_size, config.patch_size)
        network = read_transformer(tensors, config, names, size, pixels, biases=biases)
        # local_cls_norm is used in training alone.
        tensors.refuse_unused(r"embeddings\.mask_token|local_cls_norm\.|rope_embeddings\.")
        return network
