"""Makes encoders_vit/, tiny vision transformers of timm and transformers, and their outputs.

Run in an environment of its own: pip install torch==2.14.0 torchvision timm==1.0.31
transformers==5.24.0; python make_encoders_vit.py

encoders_vit.npz holds the images, and by NAME.SIZE the features, by NAME.tokens the last tokens;
computed in float64, kept in float32. timm_vit_architectures.json holds what timm's names say.
"""

import json
import pathlib
import shutil

import numpy as np
import timm
import torch
import transformers
from safetensors.torch import save_file
from timm.layers import SwiGLUPacked
from timm.models import deit, list_models, model_entrypoint, vision_transformer
from timm.models._hub import save_for_hf

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "encoders_vit"
SIZE, OTHER_SIZES = 24, (32, 16)
SMALL = {"img_size": SIZE, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
THIN = {**SMALL, "mlp_ratio": 2}
PACKED = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU}

# name: (timm's name, arguments that config.json holds, arguments that it cannot hold).
TIMM = {
    "plain": ("vit_base_patch16_224", THIN, {}),
    "registers_mean": ("vit_base_patch16_reg4_gap_256", THIN, {}),
    "gap": ("vit_base_patch16_gap_224", THIN, {}),
    "virchow2": (
        "vit_huge_patch14_224",
        {**SMALL, "mlp_ratio": 2.75, "init_values": 1e-5, "reg_tokens": 3, "global_pool": ""},
        PACKED,
    ),
    "uni2": (
        "vit_giant_patch14_224",
        {**SMALL, "mlp_ratio": 5.25, "init_values": 1e-5, "reg_tokens": 5}
        | {"no_embed_class": True},
        PACKED,
    ),
    "h_optimus": ("vit_giant_patch14_reg4_dinov2", {**SMALL, "mlp_ratio": 5.25}, {}),
    "gigapath": ("vit_giant_patch14_dinov2", {**SMALL, "mlp_ratio": 5.25}, {}),
    "clip_quick": ("vit_base_patch16_clip_quickgelu_224", THIN, {}),
    "clip": ("vit_base_patch32_clip_224", THIN, {}),
    "siglip": ("vit_base_patch16_siglip_224", THIN, {}),
    "siglip_tanh": ("vit_so400m_patch16_siglip_256", THIN, {}),
    "registers_map": ("vit_so150m_patch16_reg4_map_256", THIN, {}),
    "query_key_norm": (
        "vit_base_patch16_224",
        {**THIN, "qk_norm": True, "qkv_bias": False, "act_layer": "silu"},
        {},
    ),
    "norm_after": ("vit_base_patch16_rpn_224", THIN, {}),
    "class_mean": ("eva_large_patch14_196", THIN, {}),
    "no_final_norm": ("vit_intern300m_patch14_448", THIN, {}),
    "dinov3": ("vit_small_patch16_dinov3", {**THIN, "depth": 2}, {}),
    "dinov3_gated": ("vit_small_plus_patch16_dinov3_qkvb", SMALL, {}),
}
HF = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": 4,
}
DINOV3 = {**HF, "intermediate_size": 24, "num_register_tokens": 3}
TRANSFORMERS = {
    "hf_registers": (
        transformers.Dinov2WithRegistersModel,
        transformers.Dinov2WithRegistersConfig(**HF, mlp_ratio=2, num_register_tokens=3),
    ),
    "hf_registers_gated": (
        transformers.Dinov2WithRegistersModel,
        transformers.Dinov2WithRegistersConfig(
            **HF, mlp_ratio=2, use_swiglu_ffn=True, qkv_bias=False
        ),
    ),
    "hf_dinov3": (
        transformers.DINOv3ViTModel,
        transformers.DINOv3ViTConfig(**DINOV3, rope_theta=50.0),
    ),
    "hf_dinov3_gated": (
        transformers.DINOv3ViTModel,
        transformers.DINOv3ViTConfig(
            **DINOV3, use_gated_mlp=True, hidden_act="silu", proj_bias=False, mlp_bias=False
        ),
    ),
    "hf_dinov3_gated_gelu": (
        transformers.DINOv3ViTModel,
        transformers.DINOv3ViTConfig(
            **DINOV3, use_gated_mlp=True, query_bias=False, key_bias=True, value_bias=False
        ),
    ),
    "hf_vit_tanh": (
        transformers.ViTModel,
        transformers.ViTConfig(**HF, intermediate_size=24, hidden_act="gelu_pytorch_tanh"),
    ),
}


def fill_with_noise(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Fills all tensors with float32 noise: a fresh model's zeros and ones would hide mistakes."""
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                tensor.copy_(1 + 0.3 * noise)
            elif tensor.ndim == 4:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(0.3 * noise)


def pixels(images: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(images / 255.0).permute(0, 3, 1, 2)


def write_by_hand(
    model: torch.nn.Module, folder: pathlib.Path, architecture: str, written: dict[str, object]
) -> None:
    folder.mkdir(parents=True)
    configuration = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": written["embed_dim"],
        "model_args": written,
        "pretrained_cfg": {
            "input_size": [3, SIZE, SIZE],
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "num_classes": 0,
        },
    }
    (folder / "config.json").write_text(json.dumps(configuration, indent=2) + "\n")
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})


def of_timm(name: str, images: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    architecture, written, code = TIMM[name]
    model = timm.create_model(architecture, num_classes=0, **written, **code).eval()
    fill_with_noise(model, torch.Generator().manual_seed(2))
    if code:  # timm writes no classes; published folders leave them out
        write_by_hand(model, FOLDER / name, architecture, written)
    else:
        save_for_hf(model, FOLDER / name, safe_serialization=True)
    model = model.double()
    outputs = {}
    with torch.no_grad():
        outputs[f"{name}.tokens"] = model.forward_features(pixels(images[SIZE])).numpy()
        for size in (SIZE, *OTHER_SIZES):
            # Size after size would resample what is resampled already.
            other = timm.create_model(architecture, num_classes=0, **written, **code).eval()
            other.load_state_dict(model.state_dict())
            other = other.double()
            if size != SIZE and "dinov3" not in architecture:
                other.set_input_size(img_size=size)
            features = other(pixels(images[size]))
            if "dinov3" in architecture:
                features = other.forward_features(pixels(images[size]))[:, 0]
            outputs[f"{name}.{size}"] = (features if features.ndim == 2 else features[:, 0]).numpy()
    return outputs


def of_transformers(name: str, images: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    kind, config = TRANSFORMERS[name]
    model = kind(config).eval()
    fill_with_noise(model, torch.Generator().manual_seed(3))
    model.save_pretrained(FOLDER / name)
    if name == "hf_registers_gated":  # the same network under the names that it has in memory
        model.save_pretrained(FOLDER / f"{name}_in_memory", save_original_format=False)
    model = model.double()
    outputs = {}
    options = {"interpolate_pos_encoding": True} if "vit_" in name else {}
    with torch.no_grad():
        for size in (SIZE, *OTHER_SIZES):
            tokens = model(pixels(images[size]), **options).last_hidden_state.numpy()
            outputs[f"{name}.{size}"] = tokens[:, 0]
            if size == SIZE:
                outputs[f"{name}.tokens"] = tokens
    return outputs


def architectures() -> dict[str, list[object]]:
    """What timm's names of vision transformers say, in the order of the test that reads it."""
    found: dict[str, list[object]] = {}

    def record(kind: type, variant: str, pretrained: bool, **arguments: object) -> None:
        norm = arguments.get("norm_layer")
        special = ("attn_layer", "embed_norm_layer", "scale_attn_norm", "pool_include_prefix")
        block = getattr(arguments.get("block_fn"), "__name__", "Block")
        plain = kind.__name__ == "VisionTransformer" and not any(map(arguments.get, special))
        if norm is not None and getattr(norm, "func", norm) is not timm.layers.LayerNorm:
            plain = False
        if not plain or "Parallel" in block or "radio" in variant:
            return
        act = arguments.get("act_layer", "gelu")
        found[variant] = [
            arguments.get("embed_dim", 768),
            arguments.get("num_heads", 12),
            act if isinstance(act, str) else act.__name__,
            1e-6 if norm is None else norm.keywords["eps"],
            block,
            arguments.get("depth", 12),
            arguments.get("class_token", True),
            arguments.get("reg_tokens", 0),
            arguments.get("final_norm", True),
        ]

    vision_transformer.build_model_with_cfg = deit.build_model_with_cfg = record
    for module in ("vision_transformer", "deit"):
        for name in list_models(module=module):
            model_entrypoint(name)(pretrained=False)
    return found


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    generator = np.random.default_rng(0)
    images = {
        size: generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        for size in (SIZE, *OTHER_SIZES)
    }
    arrays = {}
    for name in TIMM:
        arrays |= of_timm(name, images)
    for name in TRANSFORMERS:
        arrays |= of_transformers(name, images)
    stored = {name: array.astype(np.float32) for name, array in arrays.items()}
    stored |= {f"images.{size}": array for size, array in images.items()}
    np.savez_compressed(HERE / "encoders_vit.npz", **stored)
    (HERE / "timm_vit_architectures.json").write_text(
        json.dumps(architectures(), indent=None, separators=(",", ":")).replace("],", "],\n") + "\n"
    )
    print({name: (array.shape, float(np.abs(array).mean())) for name, array in arrays.items()})


if __name__ == "__main__":
    main()
