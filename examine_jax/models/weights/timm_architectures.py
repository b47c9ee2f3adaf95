"""timm's vision transformers by name: what neither the tensors nor config.json tell."""

import dataclasses
import re

# Names of timm 1.0.31 (timm/models/vision_transformer.py, deit.py) by width, heads and depth. Those
# that need something more are not here: other norms, blocks or attention; and RADIO's, whose
# features are other tokens.
_BY_SIZE: dict[tuple[int, int, int], str] = {
    (64, 2, 6): "test_vit",
    (64, 2, 8): "test_vit2",
    (192, 3, 12): """
        vit_tiny_patch16_224 vit_tiny_patch16_384 deit_tiny_patch16_224""",
    (256, 4, 10): "vit_xsmall_patch16_clip_224",
    (256, 4, 14): "vit_wee_patch16_reg1_gap_256",
    (320, 5, 14): """
        vit_little_patch16_reg1_gap_256 vit_little_patch16_reg4_gap_256""",
    (384, 6, 12): """
        flexivit_small vit_small_patch8_224 vit_small_patch14_dinov2
        vit_small_patch14_reg4_dinov2 vit_small_patch16_224 vit_small_patch16_384
        vit_small_patch32_224 vit_small_patch32_384 deit3_small_patch16_224
        deit3_small_patch16_384 deit_small_patch16_224""",
    (384, 6, 36): "vit_small_patch16_36x1_224",
    (512, 8, 12): """
        vit_medium_patch16_clip_224 vit_medium_patch32_clip_224 vit_medium_patch16_gap_240
        vit_medium_patch16_gap_256 vit_medium_patch16_gap_384 vit_medium_patch16_reg1_gap_256
        vit_medium_patch16_reg4_gap_256 deit3_medium_patch16_224""",
    (512, 8, 20): """
        vit_mediumd_patch16_reg4_gap_256 vit_mediumd_patch16_reg4_gap_384""",
    (640, 10, 12): """
        vit_betwixt_patch32_clip_224 vit_betwixt_patch16_gap_256
        vit_betwixt_patch16_reg1_gap_256 vit_betwixt_patch16_reg4_gap_256
        vit_betwixt_patch16_reg4_gap_384""",
    (768, 12, 12): """
        vit_base_patch16_clip_224 vit_base_patch16_clip_384 vit_base_patch32_clip_224
        vit_base_patch32_clip_256 vit_base_patch32_clip_384 vit_base_patch32_clip_448
        vit_base_patch16_clip_quickgelu_224 vit_base_patch32_clip_quickgelu_224
        vit_base_patch16_reg4_gap_256 vit_base_patch16_rpn_224 vit_base_patch16_siglip_gap_224
        vit_base_patch16_siglip_gap_256 vit_base_patch16_siglip_gap_384
        vit_base_patch16_siglip_gap_512 vit_base_patch16_siglip_224 vit_base_patch16_siglip_256
        vit_base_patch16_siglip_384 vit_base_patch16_siglip_512 vit_base_patch32_siglip_gap_256
        vit_base_patch32_siglip_256 flexivit_base vit_base_patch8_224 vit_base_patch14_dinov2
        vit_base_patch14_reg1_tipsv2 vit_base_patch14_reg4_dinov2 vit_base_patch16_224
        vit_base_patch16_224_miil vit_base_patch16_384 vit_base_patch32_224 vit_base_patch32_384
        deit3_base_patch16_224 deit3_base_patch16_384 deit_base_patch16_224
        deit_base_patch16_384""",
    (768, 16, 12): "vit_base_patch16_gap_224",
    (832, 13, 21): """
        vit_so150m2_patch16_reg1_gap_256 vit_so150m2_patch16_reg1_gap_384
        vit_so150m2_patch16_reg1_gap_448""",
    (896, 14, 12): """
        vit_base_patch16_plus_clip_240 vit_base_patch16_plus_240 vit_base_patch32_plus_256""",
    (896, 14, 18): """
        vit_so150m_patch16_reg4_gap_256 vit_so150m_patch16_reg4_gap_384
        vit_so150m_patch16_reg4_map_256""",
    (1024, 16, 24): """
        vit_large_patch14_clip_224 vit_large_patch14_clip_336
        vit_large_patch14_clip_quickgelu_224 vit_large_patch14_clip_quickgelu_336
        eva_large_patch14_196 eva_large_patch14_336 vit_large_patch16_siglip_gap_256
        vit_large_patch16_siglip_gap_384 vit_large_patch16_siglip_gap_512
        vit_large_patch16_siglip_256 vit_large_patch16_siglip_384 vit_large_patch16_siglip_512
        flexivit_large vit_intern300m_patch14_448 vit_large_patch14_224 vit_large_patch14_dinov2
        vit_large_patch14_reg1_tipsv2 vit_large_patch14_reg4_dinov2 vit_large_patch16_224
        vit_large_patch16_384 vit_large_patch32_224 vit_large_patch32_384
        deit3_large_patch16_224 deit3_large_patch16_384""",
    (1152, 16, 27): """
        vit_so400m_patch14_siglip_gap_224 vit_so400m_patch14_siglip_gap_378
        vit_so400m_patch14_siglip_gap_384 vit_so400m_patch14_siglip_gap_448
        vit_so400m_patch14_siglip_gap_896 vit_so400m_patch14_siglip_224
        vit_so400m_patch14_siglip_378 vit_so400m_patch14_siglip_384
        vit_so400m_patch14_reg1_tipsv2 vit_so400m_patch16_siglip_gap_256
        vit_so400m_patch16_siglip_gap_384 vit_so400m_patch16_siglip_gap_512
        vit_so400m_patch16_siglip_256 vit_so400m_patch16_siglip_384
        vit_so400m_patch16_siglip_512""",
    (1280, 16, 32): """
        vit_huge_patch14_clip_224 vit_huge_patch14_clip_336 vit_huge_patch14_clip_378
        vit_huge_patch14_clip_quickgelu_224 vit_huge_patch14_clip_quickgelu_378
        vit_huge_patch14_gap_224 vit_huge_patch16_gap_448 vit_huge_patch14_224
        deit3_huge_patch14_224""",
    (1408, 16, 40): """
        vit_giant_patch14_clip_224 vit_giant_patch16_gap_224 vit_giant_patch14_224""",
    (1536, 16, 40): """
        vit_giantopt_patch16_siglip_gap_256 vit_giantopt_patch16_siglip_gap_384
        vit_giantopt_patch16_siglip_256 vit_giantopt_patch16_siglip_384""",
    (1536, 24, 40): """
        vit_giant_patch14_dinov2 vit_giant_patch14_reg1_tipsv2 vit_giant_patch14_reg4_dinov2""",
    (1664, 16, 48): """
        vit_gigantic_patch14_clip_224 vit_gigantic_patch14_clip_378
        vit_gigantic_patch14_clip_quickgelu_224 vit_gigantic_patch14_224""",
}
_TANH = (
    "base_patch32_siglip_",
    "so400m_patch16_siglip_",
    "giantopt_patch16_siglip_",
    "large_patch16_siglip_512",
    "large_patch16_siglip_gap_512",
)


# Parts of the names of those without a class token.
_WITHOUT_CLASS = ("_gap_", "_map_", "_siglip_", "_rpn_", "test_vit2")


@dataclasses.dataclass(frozen=True)
class TimmArchitecture:
    """What the name of a timm vision transformer says.

    Attributes:
        width, heads, depth: of the network under that name. A file of another width is another
            network, whose configuration says its heads.
        mlp: the plain MLP of MLP_FORMS.
        epsilon: of the layer norms.
        norm_after: whether a block's norms stand after its branches.
        class_token: whether it has one.
        registers: how many register tokens the name says.
        last_norm: whether a norm follows the last block or the pooling.
    """

    width: int
    heads: int
    depth: int
    mlp: str
    epsilon: float
    norm_after: bool
    class_token: bool
    registers: int
    last_norm: bool


def _architecture(name: str, width: int, heads: int, depth: int) -> TimmArchitecture:
    if "quickgelu" in name:
        mlp = "quick_gelu"
    else:
        mlp = "gelu_tanh" if any(part in name for part in _TANH) else "gelu"
    registers = re.search(r"_reg(\d)_", name)
    return TimmArchitecture(
        width,
        heads,
        depth,
        mlp,
        epsilon=1e-5 if "_clip_" in name else 1e-6,
        norm_after="_rpn_" in name,
        class_token=not any(part in name for part in _WITHOUT_CLASS),
        registers=int(registers[1]) if registers else int(name == "test_vit2"),
        last_norm="intern300m" not in name,
    )


TIMM_ARCHITECTURES: dict[str, TimmArchitecture] = {
    name: _architecture(name, *key) for key, names in _BY_SIZE.items() for name in names.split()
}
