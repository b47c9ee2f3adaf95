"""Makes encoders_conch/, a tiny CONCH's vision tower, and its features.

Run in an environment of its own: pip install torch==2.14.0 torchvision timm==1.0.31;
python make_encoders_conch.py

The tower is timm's VisionTransformer and torch's MultiheadAttention, put together as
mahmoodlab/CONCH's vision_tower.py and transformer.py (AttentionalPooler) do it. encoders_conch.npz
holds the images and, by conch.SIZE, the features; computed in float64, kept in float32.
"""

import json
import pathlib
import shutil

import numpy as np
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "encoders_conch" / "conch"
SIZES = (24, 32)
WIDTH, POOLED, HEADS = 16, 12, 3


class Pooler(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = torch.nn.Parameter(torch.randn(1, POOLED))
        self.attn = torch.nn.MultiheadAttention(POOLED, HEADS, kdim=WIDTH, vdim=WIDTH)
        self.ln_q = torch.nn.LayerNorm(POOLED)
        self.ln_k = torch.nn.LayerNorm(WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = self.ln_k(tokens).permute(1, 0, 2)
        query = self.ln_q(self.query)[:, None].repeat(1, tokens.shape[1], 1)
        return self.attn(query, tokens, tokens, need_weights=False)[0][0]


class Tower(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = VisionTransformer(
            img_size=SIZES[0],
            patch_size=4,
            embed_dim=WIDTH,
            depth=2,
            num_heads=2,
            num_classes=0,
            dynamic_img_size=True,
        )
        self.attn_pool_contrast = Pooler()
        self.ln_contrast = torch.nn.LayerNorm(POOLED)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.ln_contrast(self.attn_pool_contrast(self.trunk.forward_features(images)))


def main() -> None:
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"visual": Tower()}).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            one = float("weight" in name and tensor.ndim == 1)
            tensor.normal_(0, 0.3 if one or tensor.ndim > 1 else 0.2).add_(one)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    others = {
        "visual.proj_contrast": torch.ones(POOLED, POOLED),
        "visual.attn_pool_caption.query": torch.ones(2, WIDTH),
        "visual.ln_caption.weight": torch.ones(WIDTH),
        "text.cls_emb": torch.ones(3),
        "text_decoder.ln_final.bias": torch.ones(3),
        "logit_scale": torch.ones([]),
    }
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state | others, FOLDER / "model.safetensors", metadata={"format": "pt"})
    configuration = {
        "architecture": "conch_ViT-B-16",
        "model_args": {"num_heads": 2, "attn_pooler_heads": HEADS, "img_size": SIZES[0]}
        | {"patch_size": 4, "embed_dim": WIDTH, "depth": 2},
        "pretrained_cfg": {
            "input_size": [3, SIZES[0], SIZES[0]],
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
    }
    (FOLDER / "config.json").write_text(json.dumps(configuration, indent=1) + "\n")
    generator, arrays = np.random.default_rng(0), {}
    model.double()
    for size in SIZES:
        images = generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        pixels = torch.as_tensor(images).permute(0, 3, 1, 2).double() / 255
        with torch.no_grad():
            features = model["visual"](pixels).numpy()
        arrays |= {f"images.{size}": images, f"conch.{size}": features.astype(np.float32)}
    np.savez_compressed(HERE / "encoders_conch.npz", **arrays)


if __name__ == "__main__":
    main()
