"""The table of encoders: what is known of the field's own, with the source of each fact.

A row stands here only if the encoder's configuration or model card was read. Where a folder says
something itself, the folder is followed; encoder.json goes before both.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

Pixels = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Pixels = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES: Pixels = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP: Pixels = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
H_OPTIMUS: Pixels = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
HIBOU: Pixels = ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816))
CHEXZERO: Pixels = ((101.48761 / 255,) * 3, (83.43944 / 255,) * 3)
_MEANS = {IMAGENET: "ImageNet", HALVES: "0.5 / 0.5", CLIP: "CLIP", H_OPTIMUS: "H-optimus"}
_MEANS |= {HIBOU: "Hibou", CHEXZERO: "CheXzero"}


@dataclasses.dataclass(frozen=True, eq=False)
class KnownEncoder:
    """One row.

    Attributes:
        name: what encoder.json's `known` calls it.
        hub: its folder's name on the Hugging Face Hub, or where else it is.
        network: what it is, in words.
        feature: one of encoder_json.FEATURES.
        features: their number.
        image_size: in pixels.
        pixels: mean and deviation of pixels in [0, 1].
        licence, gate: of the weights. Read them yourself: they change.
        source: where the facts were read.
        configuration: fields of config.json for folders that lack them.
        tensors: shapes of tensors that only this encoder has; empty: the folder must be named.
        absent: tensors that it lacks.
        says_all: whether the folder's own files say all that is needed.
        pixel_range: as encoder.json's.
    """

    name: str
    hub: str
    network: str
    feature: str
    features: int
    image_size: int
    pixels: Pixels
    licence: str
    gate: str
    source: str
    configuration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tensors: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    absent: tuple[str, ...] = ()
    says_all: bool = False
    pixel_range: str | None = None

    def matches(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether tensors are this encoder's, by their shapes."""
        return (
            bool(self.tensors)
            and all(
                name in arrays and arrays[name].shape == shape
                for name, shape in self.tensors.items()
            )
            and not any(name in arrays for name in self.absent)
        )

    @property
    def normalisation(self) -> str:
        """The name of its mean and deviation."""
        return "each image's own range" if self.pixel_range else _MEANS[self.pixels]


def _timm(architecture: str, pixels: Pixels, size: int = 224, **arguments: Any) -> dict[str, Any]:
    """What a timm folder's config.json says."""
    return {
        "architecture": architecture,
        "model_args": arguments,
        "pretrained_cfg": {
            "mean": list(pixels[0]),
            "std": list(pixels[1]),
            "input_size": [3, size, size],
        },
    }


_OPTIMUS = {
    "pos_embed": (1, 256, 1536),
    "reg_token": (1, 4, 1536),
    "blocks.39.mlp.fc1.weight": (8192, 1536),
}

_SAM_SOURCE = "facebookresearch/segment-anything build_sam.py, modeling/image_encoder.py and sam.py"

ENCODERS: tuple[KnownEncoder, ...] = (
    KnownEncoder(
        "phikon",
        "owkin/phikon",
        "ViT-B/16, transformers",
        "class_token",
        768,
        224,
        IMAGENET,
        "Owkin's, non-profit entities alone",
        "not checked",
        "its config.json and preprocessor_config.json; owkin/HistoSSLscaling LICENSE",
        says_all=True,
    ),
    KnownEncoder(
        "phikon-v2",
        "owkin/phikon-v2",
        "DINOv2 ViT-L/16, transformers",
        "class_token",
        1024,
        224,
        IMAGENET,
        "Owkin's, non-commercial",
        "none seen",
        "its model card; mahmoodlab/TRIDENT",
        says_all=True,
    ),
    KnownEncoder(
        "uni",
        "MahmoodLab/UNI",
        "ViT-L/16, timm",
        "class_token",
        1024,
        224,
        IMAGENET,
        "CC-BY-NC-ND-4.0",
        "institutional mail",
        "mahmoodlab/UNI README.md and uni/get_encoder",
        _timm("vit_large_patch16_224", IMAGENET),
    ),
    KnownEncoder(
        "uni2-h",
        "MahmoodLab/UNI2-h",
        "ViT-H/14, SwiGLU, 8 registers, timm",
        "class_token",
        1536,
        224,
        IMAGENET,
        "CC-BY-NC-ND-4.0",
        "institutional mail",
        "mahmoodlab/UNI README.md",
        _timm("vit_giant_patch14_224", IMAGENET, num_heads=24),
        {
            "pos_embed": (1, 256, 1536),
            "reg_token": (1, 8, 1536),
            "blocks.23.mlp.fc1.weight": (8192, 1536),
        },
        ("blocks.24.norm1.weight",),
    ),
    KnownEncoder(
        "virchow",
        "paige-ai/Virchow",
        "ViT-H/14, SwiGLU, timm",
        "class_and_mean",
        2560,
        224,
        IMAGENET,
        "Apache-2.0",
        "institutional mail",
        "its model card; mahmoodlab/TRIDENT; clemsgrs/slide2vec",
        _timm("vit_huge_patch14_224", IMAGENET),
        {"pos_embed": (1, 257, 1280), "blocks.31.mlp.fc1.weight": (6832, 1280)},
        ("reg_token", "blocks.32.norm1.weight"),
    ),
    KnownEncoder(
        "virchow2",
        "paige-ai/Virchow2",
        "ViT-H/14, SwiGLU, 4 registers, timm",
        "class_and_mean",
        2560,
        224,
        IMAGENET,
        "CC-BY-NC-ND-4.0",
        "institutional mail",
        "its model card's discussion 9; mahmoodlab/TRIDENT; clemsgrs/slide2vec",
        _timm("vit_huge_patch14_224", IMAGENET),
        {
            "pos_embed": (1, 261, 1280),
            "reg_token": (1, 4, 1280),
            "blocks.31.mlp.fc1.weight": (6832, 1280),
        },
        ("blocks.32.norm1.weight",),
    ),
    KnownEncoder(
        "h-optimus-0",
        "bioptimus/H-optimus-0",
        "ViT-g/14, SwiGLU, 4 registers, timm",
        "class_token",
        1536,
        224,
        H_OPTIMUS,
        "Apache-2.0; H-optimus-1, of the same shapes, has terms of its own",
        "none seen",
        "its config.json",
        _timm("vit_giant_patch14_reg4_dinov2", H_OPTIMUS),
        _OPTIMUS,
        ("blocks.40.norm1.weight",),
    ),
    KnownEncoder(
        "h-optimus-1",
        "bioptimus/H-optimus-1",
        "as H-optimus-0, and its shapes",
        "class_token",
        1536,
        224,
        H_OPTIMUS,
        "not checked",
        "terms",
        "mahmoodlab/TRIDENT; clemsgrs/slide2vec; its discussion 21",
        _timm("vit_giant_patch14_reg4_dinov2", H_OPTIMUS),
    ),
    KnownEncoder(
        "prov-gigapath",
        "prov-gigapath/prov-gigapath",
        "ViT-g/16, SwiGLU, timm (the tile encoder)",
        "class_token",
        1536,
        224,
        IMAGENET,
        "research use alone",
        "terms",
        "prov-gigapath gigapath/pipeline.py; mahmoodlab/TRIDENT",
        _timm("vit_giant_patch14_dinov2", IMAGENET, patch_size=16),
        {"pos_embed": (1, 197, 1536), "blocks.39.mlp.fc1.weight": (8192, 1536)},
        ("reg_token", "blocks.40.norm1.weight"),
    ),
    KnownEncoder(
        "hibou-b",
        "histai/hibou-b",
        "DINOv2 ViT-B/14, 4 registers, transformers",
        "class_token",
        768,
        224,
        HIBOU,
        "Apache-2.0",
        "none seen",
        "its config.json; HistAI/hibou; mahmoodlab/TRIDENT",
    ),
    KnownEncoder(
        "hibou-l",
        "histai/hibou-L",
        "DINOv2 ViT-L/14, 4 registers, transformers",
        "class_token",
        1024,
        224,
        HIBOU,
        "Apache-2.0",
        "asks for contact data",
        "its model card; HistAI/hibou; mahmoodlab/TRIDENT",
    ),
    KnownEncoder(
        "midnight",
        "kaiko-ai/midnight",
        "DINOv2 ViT-g/14, SwiGLU, transformers",
        "class_and_mean",
        3072,
        224,
        HALVES,
        "MIT",
        "none",
        "kaiko-ai/Midnight README.md; clemsgrs/slide2vec",
    ),
    KnownEncoder(
        "rad-dino",
        "microsoft/rad-dino",
        "DINOv2 ViT-B/14, transformers",
        "class_token",
        768,
        518,
        IMAGENET,
        "MIT",
        "none seen",
        "its model card and files; the sizes are its sibling rad-dino-maira-2's",
        says_all=True,
    ),
    KnownEncoder(
        "biomedclip",
        "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        "ViT-B/16 of timm in OpenCLIP",
        "class_token",
        512,
        224,
        CLIP,
        "MIT",
        "none",
        "its open_clip_config.json",
        says_all=True,
    ),
    KnownEncoder(
        "pubmedclip",
        "flaviagiammarino/pubmed-clip-vit-base-patch32",
        "CLIP ViT-B/32, transformers",
        "class_token",
        512,
        224,
        CLIP,
        "MIT",
        "none seen",
        "its model card; sarahESL/PubMedCLIP",
        says_all=True,
    ),
    KnownEncoder(
        "chexzero",
        "rajpurkarlab/CheXzero (a download)",
        "CLIP ViT-B/32, OpenAI's names",
        "class_token",
        512,
        224,
        CHEXZERO,
        "MIT",
        "none",
        "rajpurkarlab/CheXzero model.py and zero_shot.py",
        {
            "model_cfg": {
                "embed_dim": 512,
                "quick_gelu": True,
                "vision_cfg": {"layers": 12, "width": 768, "patch_size": 32, "image_size": 224},
            },
            "preprocess_cfg": {"mean": list(CHEXZERO[0]), "std": list(CHEXZERO[1])},
        },
    ),
    KnownEncoder(
        "gpfm",
        "majiabo/GPFM",
        "ViT-L/14, timm's names",
        "class_token",
        1024,
        224,
        IMAGENET,
        "CC-BY-NC-ND-4.0",
        "not checked",
        "kaiko-ai/eva; mahmoodlab/TRIDENT; birkhoffkiki/GPFM",
        _timm("vit_large_patch14_dinov2", IMAGENET, img_size=224),
    ),
    KnownEncoder(
        "ctranspath",
        "Xiyue-Wang/TransPath (a download)",
        "Swin-T with a convolutional stem, names of timm 0.5.4",
        "patch_mean",
        768,
        224,
        IMAGENET,
        "the repository's is GPL-3, the weights' not said",
        "none",
        "Xiyue-Wang/TransPath ctran.py; mahmoodlab/TRIDENT",
        _timm("swin_tiny_patch4_window7_224", IMAGENET),
        {
            "patch_embed.proj.0.weight": (12, 3, 3, 3),
            "layers.2.blocks.5.attn.qkv.weight": (1152, 384),
            "layers.3.blocks.1.attn.qkv.weight": (2304, 768),
        },
        ("layers.2.blocks.6.attn.qkv.weight",),
    ),
    KnownEncoder(
        "sam-vit-b",
        "facebookresearch/segment-anything (a download)",
        "SAM's ViT-B/16, Meta's names",
        "neck_mean",
        256,
        1024,
        IMAGENET,
        "Apache-2.0",
        "none",
        _SAM_SOURCE,
        {"model_type": "sam"},
    ),
    KnownEncoder(
        "sam-vit-l",
        "facebookresearch/segment-anything (a download)",
        "SAM's ViT-L/16, Meta's names",
        "neck_mean",
        256,
        1024,
        IMAGENET,
        "Apache-2.0",
        "none",
        _SAM_SOURCE,
        {"model_type": "sam"},
        {
            "image_encoder.pos_embed": (1, 64, 64, 1024),
            "image_encoder.blocks.23.attn.qkv.weight": (3072, 1024),
        },
        ("image_encoder.blocks.24.attn.qkv.weight",),
    ),
    KnownEncoder(
        "sam-vit-h",
        "facebookresearch/segment-anything (a download)",
        "SAM's ViT-H/16, Meta's names",
        "neck_mean",
        256,
        1024,
        IMAGENET,
        "Apache-2.0",
        "none",
        _SAM_SOURCE,
        {"model_type": "sam"},
        {
            "image_encoder.pos_embed": (1, 64, 64, 1280),
            "image_encoder.blocks.31.attn.qkv.weight": (3840, 1280),
        },
        ("image_encoder.blocks.32.attn.qkv.weight",),
    ),
    KnownEncoder(
        "medsam",
        "bowang-lab/MedSAM (a download)",
        "SAM's ViT-B/16, and its shapes",
        "neck_mean",
        256,
        1024,
        ((0.0,), (1.0,)),
        "Apache-2.0",
        "none",
        "bowang-lab/MedSAM MedSAM_Inference.py and LICENSE",
        {"model_type": "sam"},
        pixel_range="image",
    ),
)


def known_encoder(name: str, where: str) -> KnownEncoder:
    """The row of a name.

    Raises:
        ValueError: there is none.
    """
    for row in ENCODERS:
        if row.name == name:
            return row
    raise ValueError(
        f"{where}: known is {name!r}; the table has {', '.join(row.name for row in ENCODERS)}"
    )


def recognised(arrays: Mapping[str, np.ndarray]) -> KnownEncoder | None:
    """The row whose shapes tensors have; None: there is none."""
    return next((row for row in ENCODERS if row.matches(arrays)), None)


def table() -> str:
    """The table in Markdown, as docs/guide/encoders.md has it."""
    head = (
        "`known`",
        "folder",
        "network",
        "feature",
        "size",
        "pixels",
        "recognised",
        "licence; gate",
        "source",
    )
    rows = [
        (
            f"`{row.name}`",
            row.hub,
            row.network,
            f"{row.feature.replace('_', ' ')}, {row.features}",
            str(row.image_size),
            row.normalisation,
            "by its shapes" if row.tensors else "its files say all" if row.says_all else "by name",
            f"{row.licence}; {row.gate}",
            row.source,
        )
        for row in ENCODERS
    ]
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
