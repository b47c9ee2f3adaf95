"""transformers' DINOv2, with and without registers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.vit import ViTExtras
from examine_jax.models.weights.configuration import whole_number
from examine_jax.models.weights.imported import (
    IMAGENET,
    ImportedNetwork,
    StoredNetwork,
    usual_pixels,
)
from examine_jax.models.weights.transformer import (
    BlockNames,
    TransformerNames,
    activation,
    is_on,
    read_transformer,
    renamed,
    transformer_config,
)

_NAMES = BlockNames("norm1", "norm2", "mlp.fc1", "mlp.fc2")
SWIGLU_NAMES = BlockNames("norm1", "norm2", "mlp.weights_in", "mlp.weights_out")
_SPLIT_SWIGLU_NAMES = BlockNames(
    "norm1", "norm2", "mlp.up_proj", "mlp.down_proj", gate="mlp.gate_proj"
)
# transformers 5 uses other names in memory than in files.
_IN_MEMORY = (
    (r"^(dinov2\w*\.|)(?:model\.)?layers?\.", r"\1encoder.layer."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
)
_PREFIXES = ("dinov2.", "dinov2_with_registers.")
_FIELDS = frozenset({"use_swiglu_ffn", "mlp_ratio", "layerscale_value", "num_register_tokens"})


@dataclasses.dataclass(frozen=True)
class DINOv2Family:
    """DINOv2, with its class token as features.

    Registers are also read where the file calls itself "dinov2" and holds register tokens.
    Positions are resampled as in transformers: with registers by an antialiased kernel, else not.
    """

    name: str = "dinov2"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") in ("dinov2", "dinov2_with_registers")

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        tensors = renamed(stored.tensors, _IN_MEMORY)
        names = TransformerNames(_NAMES)
        prefix = next((one for one in _PREFIXES if one + names.class_token in tensors.arrays), "")
        names = names.below(prefix)
        registers = _registers(configuration, tensors.arrays.get(names.registers), where)
        swiglu = is_on(configuration, "use_swiglu_ffn", where, default=False)
        width = whole_number(configuration, "hidden_size", where)
        ratio = whole_number(configuration, "mlp_ratio", where)
        mlp_width = dinov2_mlp_width(width, ratio, swiglu)
        try:
            layer_scale = float(configuration.get("layerscale_value", 1.0))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from error
        config = transformer_config(
            configuration,
            where,
            mlp_width=mlp_width,
            default_epsilon=1e-6,
            further=_FIELDS,
            pooling="class_token",
            mlp="swiglu" if swiglu else activation(configuration, where),
            layer_scale=layer_scale,
            extras=ViTExtras(registers=registers) if registers else None,
        )
        if MLP_FORMS[config.mlp].gated:
            split = f"{names.blocks.format(0)}.{_SPLIT_SWIGLU_NAMES.gate}.weight" in tensors.arrays
            names = names._replace(block=_SPLIT_SWIGLU_NAMES if split else SWIGLU_NAMES)
        pixels = stored.preprocessor_normalisation()
        pixels = usual_pixels(pixels, IMAGENET, config.channels, where)
        size = image_size or stored.size_in_use(config.image_size, config.patch_size)
        network = read_transformer(tensors, config, names, size, pixels, antialias=registers > 0)
        tensors.refuse_unused(r"(dinov2\w*\.)?embeddings\.mask_token|classifier\.")
        return network


def dinov2_mlp_width(width: int, ratio: int, swiglu: bool) -> int:
    """The width of an MLP; of a SwiGLU, two thirds of it, rounded up to a multiple of 8."""
    return (width * ratio * 2 // 3 + 7) // 8 * 8 if swiglu else width * ratio


def _registers(configuration: Mapping[str, Any], tokens: Any, where: str) -> int:
    """How many register tokens there are, which the file's tensors say.

    Raises:
        ValueError: the configuration says otherwise.
    """
    found = 0 if tokens is None else int(tokens.shape[-2]) if tokens.ndim > 1 else 1
    default = 4 if configuration.get("model_type") == "dinov2_with_registers" else found
    said = configuration.get("num_register_tokens")
    said = default if said is None else said
    if said != found:
        raise ValueError(
            f"{where}: num_register_tokens is {said!r}, but the file holds {found} register tokens"
        )
    return found
