"""DINOv2 under facebookresearch's own names, which tensors tell."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from examine_jax.models.vit import ViTConfig, ViTExtras
from examine_jax.models.weights.configuration import refuse_unknown_fields
from examine_jax.models.weights.facebook_layout import (
    facebook_pixels,
    heads_by_width,
    refuse_other_facts,
    stored_epsilon,
)
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import count_blocks, shape_of, square_patches
from examine_jax.models.weights.transformer import (
    Biases,
    BlockNames,
    TransformerNames,
    read_transformer,
    renamed,
)

KIND = "facebookresearch_dinov2"
BLOCK = BlockNames(
    "norm1",
    "norm2",
    "mlp.fc1",
    "mlp.fc2",
    qkv=("attn.qkv",),
    projection="attn.proj",
    scale="ls{}.gamma",
)
_GATED_BLOCK = BLOCK._replace(expand="mlp.w12", contract="mlp.w3")
_NAMES = TransformerNames(
    BLOCK,
    patches="patch_embed.proj",
    class_token="cls_token",
    registers="register_tokens",
    positions="pos_embed",
    blocks="blocks.{}",
    norm="norm",
)
# Blocks in chunks keep the numbers that they have among all.
_CHUNKS = ((r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),)
_HEADS = {384: 6, 768: 12, 1024: 16, 1536: 24}
_OFFSET = 0.1  # facebookresearch's, of the size that positions are resampled to


@dataclasses.dataclass(frozen=True)
class FacebookDINOv2Family:
    """DINOv2 under its authors' names, with the class token as features.

    At another image size, positions are resampled as dinov2's hub does it: with registers by an
    antialiased kernel; without them by a kernel that is not, to 0.1 patches more a side.
    """

    name: str = KIND

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == KIND

    def configuration_of(self, tensors: Tensors) -> dict[str, Any] | None:
        """What config.json would say of a file with these names; None: it has others."""
        arrays = renamed(tensors, _CHUNKS).arrays
        mask = arrays.get("mask_token")
        # timm's files have the same names without these.
        own = (
            (mask is not None and mask.ndim == 2)
            or "register_tokens" in arrays
            or "blocks.0.mlp.w12.weight" in arrays
            or any(re.match(_CHUNKS[0][0], name) for name in tensors.arrays)
        )
        needed = ("cls_token", "pos_embed", "blocks.0.attn.qkv.weight", "blocks.0.norm1.weight")
        if not own or any(name not in arrays for name in needed):
            return None
        return {"model_type": KIND}

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        tensors = renamed(stored.tensors, _CHUNKS)
        arrays = tensors.arrays
        width, channels, patch = square_patches(tensors, where)
        gated = "blocks.0.mlp.w12.weight" in arrays
        names = _NAMES._replace(block=_GATED_BLOCK if gated else BLOCK)
        _, mlp_width = shape_of(tensors, f"blocks.0.{names.block.contract}.weight", 2)
        registers = shape_of(tensors, "register_tokens", 3)[1] if "register_tokens" in arrays else 0
        rows = shape_of(tensors, "pos_embed", 3)[1] - 1
        side = round(max(rows, 0) ** 0.5)
        if side * side != rows or not side:
            raise ValueError(
                f"{tensors.where}: pos_embed has {rows + 1} rows, which are not those of a class "
                "token and a square of patches"
            )
        qkv = "blocks.0.attn.qkv.bias" in arrays
        depth = count_blocks(tensors)
        refuse_unknown_fields(
            configuration,
            refuse_other_facts(
                configuration,
                {
                    "hidden_size": width,
                    "num_hidden_layers": depth,
                    "image_size": side * patch,
                    "patch_size": patch,
                    "num_channels": channels,
                    "num_register_tokens": registers,
                    "use_swiglu_ffn": gated,
                    "qkv_bias": qkv,
                    "hidden_act": "gelu",
                },
                where,
            )
            | {"mlp_ratio", "layerscale_value"},
            where,
        )
        config = ViTConfig(
            image_size=side * patch,
            patch_size=patch,
            channels=channels,
            width=width,
            depth=depth,
            heads=heads_by_width(_HEADS, width, configuration, where),
            mlp_width=mlp_width,
            pooling="class_token",
            layer_norm_epsilon=stored_epsilon(configuration, 1e-6, where),
            positions="learned",
            qkv_bias=qkv,
            mlp="swiglu" if gated else "gelu",
            layer_scale=1.0 if "blocks.0.ls1.gamma" in arrays else None,
            extras=ViTExtras(registers=registers) if registers else None,
        )
        network = read_transformer(
            tensors,
            config,
            names,
            image_size,
            facebook_pixels(stored, channels),
            biases=Biases(qkv, qkv, qkv),
            position_rows=1,
            antialias=registers > 0,
            offset=0.0 if registers else _OFFSET,
        )
        tensors.refuse_unused(r"mask_token$|head\.|dino_head\.|ibot_head\.")
        return network
