"""timm's vision transformers by name: what neither the tensors nor config.json tell."""

import dataclasses

# Names of timm 1.0.31 (timm/models/vision_transformer.py, deit.py) by the width and the heads of
# the network. Those that need something more are not here: other norms, blocks or attention; and
# RADIO's, whose features are other tokens.
_BY_WIDTH_AND_HEADS: dict[tuple[int, int], str] = {
    (64, 2): "test_vit test_vit2",
    (192, 3): "vit_tiny_patch16_224 vit_tiny_patch16_384 deit_tiny_patch16_224",
    (256, 4): "vit_xsmall_patch16_clip_224 vit_wee_patch16_reg1_gap_256",
    (320, 5): "vit_little_patch16_reg1_gap_256 vit_little_patch16_reg4_gap_256",
    (384, 6): """
        flexivit_small vit_small_patch8_224 vit_small_patch14_dinov2 vit_small_patch14_reg4_dinov2
        vit_small_patch16_36x1_224 vit_small_patch16_224 vit_small_patch16_384
        vit_small_patch32_224 vit_small_patch32_384 deit3_small_patch16_224
        deit3_small_patch16_384 deit_small_patch16_224""",
    (512, 8): """
        vit_medium_patch16_clip_224 vit_medium_patch32_clip_224 vit_medium_patch16_gap_240
        vit_medium_patch16_gap_256 vit_medium_patch16_gap_384 vit_medium_patch16_reg1_gap_256
        vit_medium_patch16_reg4_gap_256 vit_mediumd_patch16_reg4_gap_256
        vit_mediumd_patch16_reg4_gap_384 deit3_medium_patch16_224""",
    (640, 10): """
        vit_betwixt_patch32_clip_224 vit_betwixt_patch16_gap_256 vit_betwixt_patch16_reg1_gap_256
        vit_betwixt_patch16_reg4_gap_256 vit_betwixt_patch16_reg4_gap_384""",
    (768, 12): """
        vit_base_patch16_clip_224 vit_base_patch16_clip_384 vit_base_patch32_clip_224
        vit_base_patch32_clip_256 vit_base_patch32_clip_384 vit_base_patch32_clip_448
        vit_base_patch16_clip_quickgelu_224 vit_base_patch32_clip_quickgelu_224
        vit_base_patch16_reg4_gap_256 vit_base_patch16_rpn_224
        vit_base_patch16_siglip_gap_224 vit_base_patch16_siglip_gap_256
        vit_base_patch16_siglip_gap_384 vit_base_patch16_siglip_gap_512
        vit_base_patch16_siglip_224 vit_base_patch16_siglip_256
        vit_base_patch16_siglip_384 vit_base_patch16_siglip_512
        vit_base_patch32_siglip_gap_256 vit_base_patch32_siglip_256
        flexivit_base vit_base_patch8_224 vit_base_patch14_dinov2 vit_base_patch14_reg1_tipsv2
        vit_base_patch14_reg4_dinov2 vit_base_patch16_224 vit_base_patch16_224_miil
        vit_base_patch16_384 vit_base_patch32_224 vit_base_patch32_384
        deit3_base_patch16_224 deit3_base_patch16_384 deit_base_patch16_224
        deit_base_patch16_384""",
    (768, 16): "vit_base_patch16_gap_224",
    (832, 13): """
        vit_so150m2_patch16_reg1_gap_256 vit_so150m2_patch16_reg1_gap_384
        vit_so150m2_patch16_reg1_gap_448""",
    (896, 14): """
        vit_base_patch16_plus_clip_240 vit_base_patch16_plus_240 vit_base_patch32_plus_256
        vit_so150m_patch16_reg4_gap_256 vit_so150m_patch16_reg4_gap_384
        vit_so150m_patch16_reg4_map_256""",
    (1024, 16): """
        vit_large_patch14_clip_224 vit_large_patch14_clip_336 vit_large_patch14_clip_quickgelu_224
        vit_large_patch14_clip_quickgelu_336 eva_large_patch14_196 eva_large_patch14_336
        vit_large_patch16_siglip_gap_256 vit_large_patch16_siglip_gap_384
        vit_large_patch16_siglip_gap_512 vit_large_patch16_siglip_256
        vit_large_patch16_siglip_384 vit_large_patch16_siglip_512 flexivit_large
        vit_intern300m_patch14_448 vit_large_patch14_224 vit_large_patch14_dinov2
        vit_large_patch14_reg1_tipsv2 vit_large_patch14_reg4_dinov2 vit_large_patch16_224
        vit_large_patch16_384 vit_large_patch32_224
        vit_large_patch32_384 deit3_large_patch16_224 deit3_large_patch16_384""",
    (1152, 16): """
        vit_so400m_patch14_siglip_gap_224 vit_so400m_patch14_siglip_gap_378
        vit_so400m_patch14_siglip_gap_384 vit_so400m_patch14_siglip_gap_448
        vit_so400m_patch14_siglip_gap_896 vit_so400m_patch14_siglip_224
        vit_so400m_patch14_siglip_378 vit_so400m_patch14_siglip_384
        vit_so400m_patch14_reg1_tipsv2
        vit_so400m_patch16_siglip_gap_256 vit_so400m_patch16_siglip_gap_384
        vit_so400m_patch16_siglip_gap_512 vit_so400m_patch16_siglip_256
        vit_so400m_patch16_siglip_384 vit_so400m_patch16_siglip_512""",
    (1280, 16): """
        vit_huge_patch14_clip_224 vit_huge_patch14_clip_336 vit_huge_patch14_clip_378
        vit_huge_patch14_clip_quickgelu_224 vit_huge_patch14_clip_quickgelu_378
        vit_huge_patch14_gap_224 vit_huge_patch16_gap_448 vit_huge_patch14_224
        deit3_huge_patch14_224""",
    (1408, 16): """
        vit_giant_patch14_clip_224 vit_giant_patch16_gap_224 vit_giant_patch14_224""",
    (1536, 16): """
        vit_giantopt_patch16_siglip_gap_256 vit_giantopt_patch16_siglip_gap_384
        vit_giantopt_patch16_siglip_256 vit_giantopt_patch16_siglip_384""",
    (1536, 24): """
        vit_giant_patch14_dinov2 vit_giant_patch14_reg1_tipsv2 vit_giant_patch14_reg4_dinov2""",
    (1664, 16): """
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


@dataclasses.dataclass(frozen=True)
class TimmArchitecture:
    """What the name of a timm vision transformer says.

    Attributes:
        width, heads: of the network under that name; a file of another width says its heads.
        mlp: the plain MLP of MLP_FORMS.
        epsilon: of the layer norms.
        norm_after: whether a block's norms stand after its branches.
    """

    width: int
    heads: int
    mlp: str
    epsilon: float
    norm_after: bool


def _architecture(name: str, width: int, heads: int) -> TimmArchitecture:
    if "quickgelu" in name:
        mlp = "quick_gelu"
    else:
        mlp = "gelu_tanh" if any(part in name for part in _TANH) else "gelu"
    epsilon = 1e-5 if "_clip_" in name else 1e-6
    return TimmArchitecture(width, heads, mlp, epsilon, norm_after="_rpn_" in name)


TIMM_ARCHITECTURES: dict[str, TimmArchitecture] = {
    name: _architecture(name, *key)
    for key, names in _BY_WIDTH_AND_HEADS.items()
    for name in names.split()
}
