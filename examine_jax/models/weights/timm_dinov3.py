"""timm's vision transformers of DINOv3."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.models.rotary_positions import RotaryPositions
from examine_jax.models.vit import ViTConfig, ViTExtras
from examine_jax.models.weights.block_parts import with_fused_biases
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork
from examine_jax.models.weights.timm_arguments import (
    count_blocks,
    heads_of,
    image_size_of,
    model_args,
    pool_of,
    refuse_depth,
    refuse_other_arguments,
    refuse_other_mlp_ratio,
    refuse_registers,
    shape_of,
    timm_name,
    timm_pixels,
)
from examine_jax.models.weights.transformer import (
    Biases,
    BlockNames,
    TransformerNames,
    read_transformer,
)

# (width, heads, depth) by name; names of timm 1.0.31 (timm/models/eva.py).
_SIZES = {
    "tiny": (192, 3, 12),
    "small": (384, 6, 12),
    "small_plus": (384, 6, 12),
    "base": (768, 12, 12),
    "large": (1024, 16, 24),
    "huge_plus": (1280, 20, 32),
    "7b": (4096, 32, 40),
}
_ARCHITECTURES = {
    f"vit_{size}_patch16_dinov3{biases}": numbers
    for size, numbers in _SIZES.items()
    for biases in ("", "_qkvb")
}
_BLOCK = BlockNames(
    "norm1",
    "norm2",
    "mlp.fc1",
    "mlp.fc2",
    qkv=("attn.qkv",),
    projection="attn.proj",
    scale="gamma_{}",
)
_GATED_BLOCK = _BLOCK._replace(gate="mlp.fc1_g", expand="mlp.fc1_x")
_NAMES = TransformerNames(
    _BLOCK,
    patches="patch_embed.proj",
    class_token="cls_token",
    registers="reg_token",
    blocks="blocks.{}",
    norm="norm",
)
# Arguments that `TimmDINOv3Family.read` takes into account.
_TAKEN = (
    *("img_size", "num_heads", "rope_temperature", "init_values"),
    *("mlp_ratio", "swiglu_align_to"),
)
_REGISTERS = 4
_IMAGE_SIZE = 256  # timm's, where the files say none


@dataclasses.dataclass(frozen=True)
class TimmDINOv3Family:
    """timm's vision transformers of DINOv3, with the class token as features.

    timm itself averages the patches by default; DINOv3's authors use the class token.

    Attributes:
        pooled: whether the features are those that timm pools, as in OpenCLIP's towers.
    """

    pooled: bool = False
    name: str = "timm's dinov3"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        architecture = configuration.get("architecture")
        return isinstance(architecture, str) and timm_name(architecture) in _ARCHITECTURES

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        given = model_args(configuration, where)
        tensors = with_fused_biases(stored.tensors)
        width, channels, patch, _ = shape_of(tensors, "patch_embed.proj.weight", 4)
        gated = "blocks.0.mlp.fc1_g.weight" in tensors.arrays
        _, mlp_width = shape_of(tensors, "blocks.0.mlp.fc2.weight", 2)
        qkv = "blocks.0.attn.qkv.bias" in tensors.arrays
        named = _ARCHITECTURES[timm_name(configuration["architecture"])]
        averaged = self.pooled and pool_of(configuration, given) != "token"
        registers = shape_of(tensors, "reg_token", 3)[1] if "reg_token" in tensors.arrays else 0
        try:
            config = ViTConfig(
                image_size=image_size or image_size_of(configuration, given, where) or _IMAGE_SIZE,
                patch_size=patch,
                channels=channels,
                width=width,
                depth=count_blocks(tensors),
                heads=heads_of(named[:2], given, width, where),
                mlp_width=mlp_width,
                pooling="mean" if averaged else "class_token",
                layer_norm_epsilon=1e-5,
                positions="rotary",
                qkv_bias=qkv,
                mlp="swiglu" if gated else "gelu",
                layer_scale=1.0 if "blocks.0.gamma_1" in tensors.arrays else None,
                extras=ViTExtras(
                    registers=registers,
                    rotary=RotaryPositions(float(given.get("rope_temperature", 100.0))),
                ),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from error
        pool = given.get("global_pool")
        facts = {
            # timm's ways to pool that have the same tensors.
            "global_pool": pool if pool in ("", "avg", "token") else "avg or token",
            "patch_size": patch,
            "in_chans": channels,
            "embed_dim": width,
            "depth": config.depth,
            "qkv_bias": qkv,
            "num_reg_tokens": registers,
            "rope_type": "dinov3",
            "rope_rotate_half": True,
            "use_rot_pos_emb": True,
            "use_abs_pos_emb": False,
            "swiglu_mlp": gated,
            "use_fc_norm": False,
        }
        # A gated MLP's width is rounded up, by less than 64.
        widths = range(mlp_width - 63, mlp_width + 1) if gated else (mlp_width,)
        refuse_other_mlp_ratio(given, width, widths, where)
        refuse_other_arguments(given, facts, _TAKEN, where)
        if given.get("num_reg_tokens") is None:
            refuse_registers(registers, _REGISTERS, tensors.where)
        if given.get("depth") is None and width == named[0]:
            refuse_depth(config.depth, named[2], tensors.where)
        network = read_transformer(
            tensors,
            config,
            _NAMES._replace(block=_GATED_BLOCK if gated else _BLOCK),
            None,
            timm_pixels(stored, channels),
            biases=Biases(qkv, qkv, qkv),
        )
        tensors.refuse_unused(r"head\.")
        return network
