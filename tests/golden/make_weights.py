"""Makes weights/, tiny networks that transformers saved, and weights.npz, their float64 outputs.

Run in an environment of its own: pip install torch==2.13.0 transformers==5.23.0 numpy safetensors;
python make_weights.py
"""

import json
import pathlib

import numpy as np
import torch
import transformers
from resnet50_tensors import BOTTLENECK_DEPTHS, fill, resnet50_shapes
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "weights"
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 6,
}
MAE = {
    **SMALL,
    "intermediate_size": 24,
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 12,
    "mask_ratio": 0.5,
    "layer_norm_eps": 1e-6,
}
NETWORKS = {
    "vit_mae": (transformers.ViTMAEForPreTraining, transformers.ViTMAEConfig(**MAE)),
    "vit": (
        transformers.ViTForImageClassification,
        transformers.ViTConfig(
            **SMALL, intermediate_size=24, num_channels=2, qkv_bias=False, num_labels=3
        ),
    ),
    "dinov2": (transformers.Dinov2Model, transformers.Dinov2Config(**SMALL, mlp_ratio=2)),
    "dinov2_swiglu": (
        transformers.Dinov2Model,
        transformers.Dinov2Config(**SMALL, mlp_ratio=2, use_swiglu_ffn=True),
    ),
    "resnet_bottleneck": (
        transformers.ResNetModel,
        transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[32, 64], depths=[2, 1], layer_type="bottleneck"
        ),
    ),
    "resnet_basic": (
        transformers.ResNetForImageClassification,
        transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic"
        ),
    ),
}


def fill_with_noise(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Fills all tensors with float32 noise: a fresh model's zeros and ones would hide mistakes."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            if not tensor.is_floating_point():
                continue
            if "decoder_pos_embed" in name or (
                "position_embeddings" in name
                and isinstance(model, transformers.ViTMAEForPreTraining)
            ):
                # A fresh model may hold zeros here. transformers' function fills them, the column's
                # half first.
                width = tensor.shape[-1]
                fixed = build_2d_sinusoidal_position_embedding(
                    4, 4, embed_dim=width, cls_token=True
                )
                tensor.copy_(
                    torch.cat([fixed[:, width // 2 :], fixed[:, : width // 2]], dim=1)[None]
                )
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif "norm" in name and name.endswith("weight") and tensor.ndim == 1:
                tensor.copy_(1 + 0.3 * noise)
            elif tensor.ndim == 4:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(0.3 * noise)


def encoded(model: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Tokens [B, 1 + N, D] of a ViT, the pooled features [B, D] of a ResNet."""
    if isinstance(model, transformers.ViTMAEForPreTraining):
        assert model.vit.embeddings.position_embeddings.abs().max() > 0.9
        # Nothing masked; with the noise in order nothing is shuffled either.
        model.vit.embeddings.config.mask_ratio = 0.0
        side = pixels.shape[-1] // 6
        noise = torch.arange(side * side, dtype=torch.float64)[None].repeat(len(pixels), 1)
        resized = pixels.shape[-1] != 24
        return model.vit(pixels, noise=noise, interpolate_pos_encoding=resized).last_hidden_state
    if isinstance(model, transformers.ViTForImageClassification):
        return model.vit(pixels, interpolate_pos_encoding=True).last_hidden_state
    if isinstance(model, transformers.ResNetForImageClassification):
        return model.resnet(pixels).pooler_output.flatten(1)
    if isinstance(model, transformers.ResNetModel):
        return model(pixels).pooler_output.flatten(1)
    return model(pixels).last_hidden_state


def main() -> None:
    generator = np.random.default_rng(0)
    images = {
        size: generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        for size in (24, 30, 18, 64)
    }
    arrays = {f"images.{size}": array for size, array in images.items()}
    for name, (kind, config) in NETWORKS.items():
        torch.manual_seed(1)
        model = kind(config).eval()
        fill_with_noise(model, torch.Generator().manual_seed(2))
        model.save_pretrained(FOLDER / name)
        if name == "vit":  # of two channels, so its pixels must be said
            said = {"image_mean": [0.5, 0.5], "image_std": [0.5, 0.5]}
            (FOLDER / name / "preprocessor_config.json").write_text(json.dumps(said) + "\n")
        if name == "vit_mae":
            settings = {
                "image_mean": [0.5, 0.4, 0.3],
                "image_std": [0.2, 0.3, 0.4],
                "rescale_factor": 1 / 255,
            }
            (FOLDER / name / "preprocessor_config.json").write_text(
                json.dumps(settings, indent=2) + "\n"
            )
        model = model.double()
        if name == "vit_mae":
            arrays["noise"] = generator.uniform(size=(2, 16))
            scaled = (images[24] / 255.0 - settings["image_mean"]) / settings["image_std"]
            with torch.no_grad():
                output = model(
                    torch.as_tensor(scaled).permute(0, 3, 1, 2),
                    noise=torch.as_tensor(arrays["noise"]),
                )
            arrays["vit_mae.loss"] = output.loss.numpy()
        for size in (24, 30, 18) if "resnet" not in name else (24,):
            pixels = torch.as_tensor(images[size] / 255.0).permute(0, 3, 1, 2)[
                :, : config.num_channels
            ]
            with torch.no_grad():
                arrays[f"{name}.{size}"] = encoded(model, pixels).numpy()

    # A whole ResNet-50, whose weights both sides draw from a seed.
    model = transformers.ResNetModel(
        transformers.ResNetConfig(depths=list(BOTTLENECK_DEPTHS))
    ).eval()
    drawn = fill(resnet50_shapes())
    state = {}
    for name, tensor in model.state_dict().items():
        state[name] = (
            tensor
            if not tensor.is_floating_point()
            else torch.as_tensor(drawn[torchvision_name(name)])
        )
    model.load_state_dict(state)
    pixels = torch.as_tensor(images[64] / 255.0).permute(0, 3, 1, 2)
    with torch.no_grad():
        arrays["resnet50.64"] = model.double()(pixels).pooler_output.flatten(1).numpy()
    np.savez_compressed(HERE / "weights.npz", **arrays)
    print({name: (array.shape, float(np.abs(array).mean())) for name, array in arrays.items()})


def torchvision_name(name: str) -> str:
    """Written apart from the library's: this one goes part by part."""
    parts = name.split(".")
    if parts[0] == "embedder":
        return f"{'conv1' if parts[2] == 'convolution' else 'bn1'}.{parts[3]}"
    stage, block = int(parts[2]) + 1, parts[4]
    if parts[5] == "shortcut":
        return f"layer{stage}.{block}.downsample.{0 if parts[6] == 'convolution' else 1}.{parts[7]}"
    kind = "conv" if parts[7] == "convolution" else "bn"
    return f"layer{stage}.{block}.{kind}{int(parts[6]) + 1}.{parts[8]}"


if __name__ == "__main__":
    main()
