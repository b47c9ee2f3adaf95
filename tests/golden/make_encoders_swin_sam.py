"""Makes encoders_swin_sam/, tiny networks of other libraries, and their float64 features.

Run in an environment of its own: pip install torch==2.14.0 torchvision timm==1.0.31
transformers==5.24.0 numpy safetensors; python make_encoders_swin_sam.py
"""

import json
import pathlib
import re
import shutil

import numpy as np
import timm
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "encoders_swin_sam"
# Maps of 10, 5 and 3 places at 40 px: windows of 3 do not divide the first two.
SWIN = {"embed_dim": 4, "depths": [2, 1, 1], "num_heads": [1, 2, 4], "window_size": 3}
SAM = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "window_size": 3}
MEAN, DEVIATION = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]


def fill(model: torch.nn.Module) -> torch.nn.Module:
    """Fills all tensors with noise: a fresh model's zeros and ones would hide mistakes."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point() or "attn_mask" in name:
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if "norm" in name and name.endswith("weight") and tensor.ndim == 1:
                tensor.copy_(1 + 0.3 * noise)
            elif name.endswith("running_var"):
                tensor.copy_(0.5 + noise**2)
            elif tensor.ndim == 4 and "pos_embed" not in name:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            elif "position" in name or "rel_pos" in name:
                tensor.copy_(noise)
            else:
                tensor.copy_(0.3 * noise)
    return model.eval()


def pixels(image: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(image / 255.0).permute(0, 3, 1, 2)


def write(name: str, state: dict, configuration: dict) -> None:
    folder = FOLDER / name
    folder.mkdir()
    kept = {key: value.float().contiguous().clone() for key, value in state.items()}
    save_file(kept, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(configuration, indent=1) + "\n")


class ConvStem(torch.nn.Module):
    """CTransPath's stem (Xiyue-Wang/TransPath, ctran.py), for timm 1.0's Swin."""

    def __init__(self, img_size, patch_size, in_chans, embed_dim, norm_layer, **_):
        super().__init__()
        assert patch_size == 4
        self.grid_size = (img_size // 4, img_size // 4)
        stem, inputs, outputs = [], in_chans, embed_dim // 8
        for _ in range(2):
            stem += [
                torch.nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
                torch.nn.BatchNorm2d(outputs),
                torch.nn.ReLU(),
            ]
            inputs, outputs = outputs, 2 * outputs
        self.proj = torch.nn.Sequential(*stem, torch.nn.Conv2d(inputs, embed_dim, 1))
        self.norm = norm_layer(embed_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


def old_names(state: dict) -> dict:
    """The names of timm 0.5.4, with the buffers that it stored."""
    changed = {}
    for name, value in state.items():
        name = re.sub(
            r"layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name
        )
        changed[name.replace("head.fc.", "head.")] = value
    changed["layers.0.blocks.1.attn_mask"] = torch.zeros(16, 9, 9)
    return {name: value for name, value in changed.items() if value.is_floating_point()}


def timm_swins(images: dict[int, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    narrow = {"window_size": [3, 2, 3], "qkv_bias": False, "mlp_ratio": 2.3, "in_chans": 1}
    for name, further, stem in (
        ("timm_swin", {}, {}),
        ("timm_swin_windows", narrow, {}),
        ("ctranspath", {"embed_dim": 8, "mlp_ratio": 2.0}, {"embed_layer": ConvStem}),
    ):
        written = {**SWIN, **further}
        channels = written.get("in_chans", 3)

        def made(size: int, written=written, stem=stem):
            return timm.create_model(
                "swin_tiny_patch4_window7_224", num_classes=2, img_size=size, **written, **stem
            )

        model = fill(made(40))
        state = model.state_dict()
        configuration = {
            "architecture": "swin_tiny_patch4_window7_224",
            "model_args": {**written, "img_size": 40},
            "pretrained_cfg": {
                "mean": MEAN[:channels],
                "std": DEVIATION[:channels],
                "input_size": [channels, 40, 40],
            },
        }
        write(name, old_names(state) if stem else state, configuration)
        for size in (40, 48):
            other = made(size).eval()
            other.load_state_dict(state)
            other = other.double()
            with torch.no_grad():
                x = pixels(images[size])[:, :channels]
                features = other.forward_head(other.forward_features(x), pre_logits=True)
            arrays[f"{name}.{size}"] = features.numpy()


def swins(images: dict[int, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    unusual = {
        "layer_norm_eps": 1e-2,
        "hidden_act": "gelu_pytorch_tanh",
        "mlp_ratio": 2.0,
        "qkv_bias": False,
        "use_absolute_embeddings": True,
    }
    for name, further in (("swin", {}), ("swin_unusual", unusual)):
        config = transformers.SwinConfig(image_size=40, **{**SWIN, **further})
        model = fill(transformers.SwinModel(config))
        model.save_pretrained(FOLDER / name)
        (FOLDER / name / "preprocessor_config.json").write_text(
            json.dumps({"image_mean": MEAN, "image_std": DEVIATION}) + "\n"
        )
        if name == "swin_unusual":
            model.save_pretrained(FOLDER / f"{name}_in_memory", save_original_format=False)
        model = model.double()
        for size in (40, 48):
            with torch.no_grad():
                output = model(pixels(images[size]), interpolate_pos_encoding=size != 40)
            arrays[f"{name}.{size}"] = output.pooler_output.numpy()


def sams(images: dict[int, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    vision = {
        "hidden_size": 16,
        "output_channels": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 40,
        "patch_size": 4,
        "window_size": 3,
        "global_attn_indexes": [1],
        "num_pos_feats": 4,
        "mlp_dim": 24,
    }
    prompts = {"hidden_size": 8, "image_size": 40, "patch_size": 4, "mask_input_channels": 4}
    masks = {
        "hidden_size": 8,
        "mlp_dim": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 4,
    }
    config = transformers.SamConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks
    )
    whole = fill(transformers.SamModel(config))
    whole.save_pretrained(FOLDER / "sam")
    unusual = {"layer_norm_eps": 1e-2, "hidden_act": "gelu_pytorch_tanh", "qkv_bias": False}
    unusual |= {"use_abs_pos": False, "use_rel_pos": False, "window_size": 5}
    tower = transformers.SamVisionModel(transformers.SamVisionConfig(**{**vision, **unusual}))
    tower = fill(tower)
    tower.save_pretrained(FOLDER / "sam_vision_unusual")
    for name, model in (("sam", whole), ("sam_vision_unusual", tower)):
        model = model.double()
        with torch.no_grad():
            map_ = model.vision_encoder(pixels(images[40])).last_hidden_state
            arrays[f"{name}.40"] = map_.mean(dim=(2, 3)).numpy()
    encoder = whole.vision_encoder
    seen = {}
    for i, layer in enumerate(encoder.layers):
        layer.register_forward_hook(lambda _, __, output, i=i: seen.update({i: output}))
    with torch.no_grad():
        encoder(pixels(images[40]))
    arrays["sam.blocks"] = np.stack([seen[i].numpy() for i in range(2)])
    # MedSAM's pixels: from each image's least to its greatest.
    image = images[40] * np.array([0.5, 0.25])[:, None, None, None] + 20
    least, greatest = image.min((1, 2, 3), keepdims=True), image.max((1, 2, 3), keepdims=True)
    stretched = (image.astype(np.uint8) - least.astype(np.uint8)) / np.clip(
        greatest.astype(np.uint8) - least.astype(np.uint8), 1e-8, None
    )
    with torch.no_grad():
        x = torch.as_tensor(stretched).permute(0, 3, 1, 2)
        arrays["medsam.40"] = encoder(x).last_hidden_state.mean(dim=(2, 3)).numpy()
    arrays["medsam.images"] = image.astype(np.uint8)

    written = {**SAM, "global_attn_indexes": [1], "neck_chans": 8, "img_size": 40}
    model = fill(timm.create_model("samvit_base_patch16", num_classes=2, **written))
    settings = {"mean": MEAN, "std": DEVIATION, "input_size": [3, 40, 40]}
    write(
        "timm_sam",
        model.state_dict(),
        {
            "architecture": "samvit_base_patch16",
            "model_args": written,
            "pretrained_cfg": settings,
        },
    )
    model = model.double()
    for size in (40, 48):
        with torch.no_grad():
            map_ = model.forward_features(pixels(images[size]))
            arrays[f"timm_sam.{size}"] = model.forward_head(map_, pre_logits=True).numpy()


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    generator = np.random.default_rng(0)
    images = {
        size: generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8) for size in (40, 48)
    }
    arrays = {f"images.{size}": array for size, array in images.items()}
    timm_swins(images, arrays)
    swins(images, arrays)
    sams(images, arrays)
    np.savez_compressed(HERE / "encoders_swin_sam.npz", **arrays)
    print({name: (array.shape, float(np.abs(array).max())) for name, array in arrays.items()})


if __name__ == "__main__":
    main()
