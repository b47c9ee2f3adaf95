"""The names and shapes of tensors that transformers and timm have for networks of tests/encoders.

PYTHON_WITH_TORCH tests/golden/make_export_names.py

PYTHON_WITH_TORCH has torch, timm and transformers. Writes export_names.json.
"""

import json
import pathlib
import tempfile

import timm
import torch
import transformers
from safetensors.torch import load_file

_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
_TIMM_VIT = {
    "img_size": 16,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 2,
}


def _of_transformers(kind: str, **fields: object) -> torch.nn.Module:
    model = getattr(transformers, f"{kind}Model")
    with_pooler = {"add_pooling_layer": False} if kind == "ViT" else {}
    return model(getattr(transformers, f"{kind}Config")(**fields), **with_pooler)


def _of_timm(name: str, **arguments: object) -> torch.nn.Module:
    return timm.create_model(name, pretrained=False, num_classes=0, **arguments)


NETWORKS = {
    "transformers vit": lambda: _of_transformers("ViT", intermediate_size=64, **_VIT),
    "transformers dinov2": lambda: _of_transformers("Dinov2", mlp_ratio=2, **_VIT),
    "transformers dinov2 gated": lambda: _of_transformers(
        "Dinov2WithRegisters", mlp_ratio=4, use_swiglu_ffn=True, num_register_tokens=2, **_VIT
    ),
    "transformers resnet": lambda: _of_transformers(
        "ResNet", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic"
    ),
    "transformers bottleneck": lambda: _of_transformers(
        "ResNet", embedding_size=8, hidden_sizes=[32, 64], depths=[2, 1], layer_type="bottleneck"
    ),
    "transformers convnext": lambda: _of_transformers(
        "ConvNext", num_stages=2, hidden_sizes=[8, 16], depths=[1, 2]
    ),
    "transformers convnextv2": lambda: _of_transformers(
        "ConvNextV2", num_stages=2, hidden_sizes=[8, 16], depths=[1, 2]
    ),
    "timm vit": lambda: _of_timm("vit_base_patch16_224", mlp_ratio=2.0, **_TIMM_VIT),
    "timm vit without class token": lambda: _of_timm(
        "vit_base_patch16_224",
        mlp_ratio=2.0,
        class_token=False,
        final_norm=False,
        global_pool="avg",
        **_TIMM_VIT,
    ),
    "timm gated": lambda: _of_timm(
        "vit_giant_patch14_dinov2",
        mlp_ratio=5.5,
        reg_tokens=2,
        no_embed_class=True,
        **_TIMM_VIT,
    ),
    "timm attention pooling": lambda: _of_timm(
        "vit_base_patch16_224",
        mlp_ratio=2.0,
        class_token=False,
        global_pool="map",
        **_TIMM_VIT,
    ),
    "timm resnet": lambda: _of_timm("resnet18"),
    "timm convnext": lambda: _of_timm("convnext_tiny", depths=[1, 1, 2, 1], dims=[8, 8, 16, 16]),
    "timm convnextv2": lambda: _of_timm(
        "convnextv2_tiny", depths=[1, 1, 2, 1], dims=[8, 8, 16, 16]
    ),
}


def _tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    if not isinstance(model, transformers.PreTrainedModel):
        return model.state_dict()
    with tempfile.TemporaryDirectory() as folder:  # files have other names than the memory
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")


if __name__ == "__main__":
    shapes = {
        name: {key: list(value.shape) for key, value in sorted(_tensors(make()).items())}
        for name, make in NETWORKS.items()
    }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in shapes.items())
    pathlib.Path(__file__).with_name("export_names.json").write_text(f"{{\n{lines}\n}}\n")
