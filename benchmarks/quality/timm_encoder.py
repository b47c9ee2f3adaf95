"""Writes a full-size encoder of timm with random weights, and its features in float32.

python timm_encoder.py NAME FOLDER

The script runs in an environment with torch and timm, without JAX; `encoder_parity
--torch_python=…` starts it. FOLDER gets config.json and model.safetensors as timm writes them, and
features.npz: by size the images' bytes ("images.224") and the features ("features.224").
"""

import json
import pathlib
import sys

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from timm.layers import SwiGLUPacked

# name: (timm's name, arguments that config.json holds, arguments that it cannot hold, image sizes).
UNI2_H = {
    **{"embed_dim": 1536, "depth": 24, "num_heads": 24, "mlp_ratio": 2.66667 * 2},
    **{"init_values": 1e-5, "reg_tokens": 8, "no_embed_class": True},
}
PACKED = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU}
ENCODERS = {
    "vit_large": ("vit_large_patch16_224", {"init_values": 1e-5}, {}, (224, 160)),
    "uni2_h": ("vit_giant_patch14_224", UNI2_H, PACKED, (224, 168)),
    "uni2_h_of_4_blocks": ("vit_giant_patch14_224", {**UNI2_H, "depth": 4}, PACKED, (224, 168)),
    "dinov3_small_plus": ("vit_small_plus_patch16_dinov3", {}, {}, (256, 192)),
    "beit_base": ("beit_base_patch16_224", {}, {}, (224, 160)),
    "eva02_base": ("eva02_base_patch14_224", {}, {}, (224, 168)),
    "swin_tiny": ("swin_tiny_patch4_window7_224", {}, {}, (224,)),
    # timm's pretrained networks are of 1024 px; it resamples positions where the image is smaller.
    "samvit_base": ("samvit_base_patch16", {}, {}, (1024,)),
    "samvit_base_at_256": ("samvit_base_patch16", {}, {}, (256,)),
    "efficientnet_b0": ("tf_efficientnet_b0", {}, {}, (224, 150)),
    "densenet121": ("densenet121", {}, {}, (224,)),
    "seresnext50": ("seresnext50_32x4d", {}, {}, (224,)),
    "resnet50d": ("resnet50d", {}, {}, (224, 150)),
    "wide_resnet50": ("wide_resnet50_2", {}, {}, (224,)),
    "dinov3_convnext_tiny": ("convnext_tiny.dinov3_lvd1689m", {}, {}, (224,)),
}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def fill(model: torch.nn.Module) -> None:
    """Fills all tensors so that each block changes its tokens by a fair part of their length."""
    generator = torch.Generator().manual_seed(0)
    running = [(name, tensor) for name, tensor in model.named_buffers() if "running" in name]
    gain = 2 if running else 1  # of networks with batch norms and ReLUs
    with torch.no_grad():
        for name, tensor in running:
            if name.endswith("var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            else:
                tensor.normal_(0, 0.1, generator=generator)
        for name, tensor in model.named_parameters():
            if "gamma" in name:
                tensor.uniform_(0.1, 0.5, generator=generator)
            elif name.endswith("weight") and ("norm" in name or tensor.ndim == 1):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.ndim >= 2 and "pos" not in name and "token" not in name:
                # Gates of squeeze and excitation that saturate would be as good as discontinuous.
                spread = 0.01 if ".se." in name else gain
                tensor.normal_(0, (spread / tensor[0].numel()) ** 0.5, generator=generator)
            else:
                tensor.normal_(0, 0.2, generator=generator)


def main(name: str, folder: pathlib.Path) -> None:
    architecture, written, code, sizes = ENCODERS[name]
    folder.mkdir(parents=True)
    arrays = {}
    model = timm.create_model(architecture, num_classes=0, **written, **code).eval()
    fill(model)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    configuration = {
        "architecture": architecture,
        "model_args": written,
        "pretrained_cfg": {"input_size": [3, sizes[0], sizes[0]], "mean": MEAN, "std": DEVIATION},
    }
    (folder / "config.json").write_text(json.dumps(configuration))
    generator = np.random.default_rng(0)
    for size in sizes:
        images = generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        if size != sizes[0] and "dinov3" not in architecture and hasattr(model, "set_input_size"):
            model.set_input_size(img_size=size)
        pixels = (torch.as_tensor(images) / 255.0 - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
        with torch.no_grad():
            features = model.forward_features(pixels.permute(0, 3, 1, 2).contiguous())
            # timm averages DINOv3's patches; its authors use the class token.
            class_token = "dinov3" in architecture
            features = features[:, 0] if class_token else model.forward_head(features, True)
        arrays[f"images.{size}"], arrays[f"features.{size}"] = images, features.numpy()
    np.savez(folder / "features.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
