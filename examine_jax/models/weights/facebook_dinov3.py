"""DINOv3's vision transformers under facebookresearch's own names, which tensors tell."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.models.rotary_positions import RotaryPositions
from examine_jax.models.vit import ViTConfig, ViTExtras
from examine_jax.models.weights.configuration import positive_number, refuse_unknown_fields
from examine_jax.models.weights.facebook_dinov2 import BLOCK
from examine_jax.models.weights.facebook_layout import (
    facebook_pixels,
    heads_by_width,
    refuse_other_facts,
    stored_epsilon,
)
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import count_blocks, shape_of, square_patches
from examine_jax.models.weights.transformer import Biases, TransformerNames, read_transformer

KIND = "facebookresearch_dinov3"
_GATED_BLOCK = BLOCK._replace(gate="mlp.w1", expand="mlp.w2", contract="mlp.w3")
_NAMES = TransformerNames(
    BLOCK,
    patches="patch_embed.proj",
    class_token="cls_token",
    registers="storage_tokens",
    blocks="blocks.{}",
    norm="norm",
)
_HEADS = {384: 6, 768: 12, 1024: 16, 1152: 18, 1280: 20, 1536: 24, 4096: 32}
_IMAGE_SIZE = 224  # of the hub's networks; their positions do not depend on it
_PERIODS = "rope_embed.periods"


@dataclasses.dataclass(frozen=True)
class FacebookDINOv3Family:
    """DINOv3 under its authors' names, with the class token as features.

    The angles' periods are those of rope_theta (100) in float32, as transformers computes them; a
    file whose own differ by more than bfloat16's rounding is refused.
    """

    name: str = KIND

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == KIND

    def configuration_of(self, tensors: Tensors) -> dict[str, Any] | None:
        """What config.json would say of a file with these names; None: it has others."""
        needed = ("storage_tokens", "cls_token", "blocks.0.attn.qkv.weight")
        own = all(name in tensors.arrays for name in needed) and "pos_embed" not in tensors.arrays
        return {"model_type": KIND} if own else None

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        tensors = _with_masked_biases(stored.tensors)
        arrays = tensors.arrays
        width, channels, patch = square_patches(tensors, where)
        gated = "blocks.0.mlp.w1.weight" in arrays
        names = _NAMES._replace(block=_GATED_BLOCK if gated else BLOCK)
        _, mlp_width = shape_of(tensors, f"blocks.0.{names.block.contract}.weight", 2)
        registers = shape_of(tensors, "storage_tokens", 3)[1] if "storage_tokens" in arrays else 0
        qkv = "blocks.0.attn.qkv.bias" in arrays
        depth = count_blocks(tensors)
        refuse_unknown_fields(
            configuration,
            refuse_other_facts(
                configuration,
                {
                    "hidden_size": width,
                    "num_hidden_layers": depth,
                    "patch_size": patch,
                    "num_channels": channels,
                    "num_register_tokens": registers,
                    "use_gated_mlp": gated,
                    "intermediate_size": mlp_width,
                },
                where,
            )
            | {"rope_theta"},
            where,
        )
        config = ViTConfig(
            image_size=image_size or _IMAGE_SIZE // patch * patch,
            patch_size=patch,
            channels=channels,
            width=width,
            depth=depth,
            heads=heads_by_width(_HEADS, width, configuration, where),
            mlp_width=mlp_width,
            pooling="class_token",
            layer_norm_epsilon=stored_epsilon(configuration, 1e-5, where),
            positions="rotary",
            qkv_bias=qkv,
            mlp="swiglu" if gated else "gelu",
            layer_scale=1.0 if "blocks.0.ls1.gamma" in arrays else None,
            extras=ViTExtras(
                registers=registers,
                rotary=RotaryPositions(positive_number(configuration, "rope_theta", 100.0, where)),
            ),
        )
        _check_periods(tensors, config)
        network = read_transformer(
            tensors,
            config,
            names,
            None,
            facebook_pixels(stored, channels),
            biases=Biases(qkv, qkv, qkv),
        )
        # local_cls_norm is used in training alone.
        tensors.refuse_unused(rf"mask_token$|local_cls_norm\.|head\.|{re.escape(_PERIODS)}$")
        return network


def _with_masked_biases(tensors: Tensors) -> Tensors:
    """Biases of queries, keys and values times their masks, which are zero for the keys.

    Raises:
        ValueError: a mask holds something else than zeros and ones.
    """
    arrays = dict(tensors.arrays)
    for name, mask in tensors.arrays.items():
        if not name.endswith(".attn.qkv.bias_mask"):
            continue
        bias = arrays.get(name.removesuffix("_mask"))
        if bias is None or bias.shape != mask.shape or not np.isin(mask, (0, 1)).all():
            raise ValueError(
                f"{tensors.where}: the tensor {name} is no mask of zeros and ones of a bias"
            )
        arrays[name.removesuffix("_mask")] = np.where(mask == 0, np.float32(0), bias)
        del arrays[name]
    return dataclasses.replace(tensors, arrays=arrays)


def _check_periods(tensors: Tensors, config: ViTConfig) -> None:
    """Raises a ValueError if the file's periods are others than the configuration's."""
    periods, rotary = tensors.arrays.get(_PERIODS), config.parts.rotary
    assert rotary is not None
    if periods is None:
        return
    count = config.width // config.heads // 4
    ours = rotary.base ** (np.arange(count) / count)
    if periods.shape != ours.shape or not np.allclose(periods, ours, rtol=2.0**-7, atol=0):
        raise ValueError(
            f"{tensors.where}: the tensor {_PERIODS} holds other periods than those of "
            f"{config.heads} heads and rope_theta {rotary.base}; say them in encoder.json: "
            '{"heads": ..., "configuration": {"rope_theta": ...}}'
        )
