"""Makes encoders_clip_convnext/, tiny networks of other libraries, and their float64 features.

Run in an environment of its own: pip install torch==2.14.0 torchvision timm==1.0.31
transformers==5.24.0 open_clip_torch==3.3.0 numpy safetensors; python make_encoders_clip_convnext.py
"""

import json
import pathlib
import shutil

import numpy as np
import open_clip
import timm
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "encoders_clip_convnext"
TRANSFORMER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 24,
    "patch_size": 8,
}


def fill(model: torch.nn.Module) -> torch.nn.Module:
    """Fills all tensors with noise: a fresh model's zeros and ones would hide mistakes."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if "norm" in name and name.endswith("weight") and tensor.ndim == 1:
                tensor.copy_(1 + 0.3 * noise)
            elif tensor.ndim == 4:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(0.3 * noise)
    return model.eval()


def pixels(image: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(image / 255.0).permute(0, 3, 1, 2)


def write(name: str, state: dict, files: dict[str, dict], file: str = "model.safetensors") -> None:
    folder = FOLDER / name
    folder.mkdir()
    save_file({k: v.contiguous().clone() for k, v in state.items()}, folder / file)
    for json_name, content in files.items():
        (folder / json_name).write_text(json.dumps(content, indent=1) + "\n")


def timm_convnexts() -> dict[str, torch.nn.Module]:
    sizes = {"depths": [1, 1, 2, 1], "dims": [4, 8, 8, 16]}
    models = {
        "timm_convnext": ("convnext_tiny", {}),
        # Dense layers stored as convolutions, another number of channels and epsilon.
        "timm_convnext_conv_mlp": ("convnext_atto", {"in_chans": 1, "norm_eps": 1e-2}),
        "timm_convnext_v2": ("convnextv2_atto", {}),
    }
    made = {}
    for name, (architecture, further) in models.items():
        arguments = {**sizes, **further}
        made[name] = fill(timm.create_model(architecture, num_classes=3, **arguments))
        channels = further.get("in_chans", 3)
        settings = {
            "mean": [0.1, 0.2, 0.3][:channels],
            "std": [0.4, 0.5, 0.6][:channels],
            "input_size": [channels, 32, 32],
        }
        write(
            name,
            made[name].state_dict(),
            {
                "config.json": {
                    "architecture": architecture,
                    "num_classes": 3,
                    "model_args": arguments,
                    "pretrained_cfg": settings,
                }
            },
        )
    return made


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    generator = np.random.default_rng(0)
    images = {
        size: generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        for size in (24, 32, 40, 16)
    }
    arrays = {f"images.{size}": array for size, array in images.items()}

    for name, model in timm_convnexts().items():
        model = model.double()
        channels = model.stem[0].in_channels
        for size in (32, 40):
            with torch.no_grad():
                map_ = model.forward_features(pixels(images[size])[:, :channels])
                features = model.forward_head(map_, pre_logits=True)
            arrays[f"{name}.{size}"] = features.numpy()

    settings = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    for name, kind, further in (
        ("convnext", "ConvNext", {"layer_norm_eps": 1e-3}),
        ("convnext_tanh", "ConvNext", {"hidden_act": "gelu_pytorch_tanh"}),
        ("convnext_v2", "ConvNextV2", {}),
    ):
        config = getattr(transformers, f"{kind}Config")(
            hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, image_size=32, **further
        )
        model = fill(getattr(transformers, f"{kind}Model")(config))
        model.save_pretrained(FOLDER / name)
        (FOLDER / name / "preprocessor_config.json").write_text(json.dumps(settings) + "\n")
        model = model.double()
        for size in (32, 40):
            with torch.no_grad():
                arrays[f"{name}.{size}"] = model(pixels(images[size])).pooler_output.numpy()

    clips(images, arrays)
    np.savez_compressed(HERE / "encoders_clip_convnext.npz", **arrays)
    print({name: (array.shape, float(np.abs(array).max())) for name, array in arrays.items()})


def clips(images: dict[int, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    """CLIP and SigLIP of transformers, at their own image size and another one."""
    text = {**TRANSFORMER, "vocab_size": 16, "max_position_embeddings": 8}
    del text["image_size"], text["patch_size"]

    def features(model, size: int) -> np.ndarray:
        with torch.no_grad():
            return model(pixels(images[size])).numpy()

    def both(name: str, feature) -> None:
        for size in (24, 40):
            arrays[f"{name}.{size}"] = features(feature, size)

    for name, activation in (("clip", "quick_gelu"), ("clip_gelu", "gelu")):
        vision = {**TRANSFORMER, "hidden_act": activation}
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
        model = fill(transformers.CLIPModel(config))
        model.save_pretrained(FOLDER / name)
        model = model.double()

        def projected(x, model=model):
            output = model.vision_model(x, interpolate_pos_encoding=True)
            return model.visual_projection(output.pooler_output)

        both(name, projected)
    vision = transformers.CLIPVisionConfig(**TRANSFORMER, hidden_act="gelu", projection_dim=12)
    model = fill(transformers.CLIPVisionModelWithProjection(vision))
    model.save_pretrained(FOLDER / "clip_vision_projected")
    model = model.double()
    both("clip_vision_projected", lambda x: model(x, interpolate_pos_encoding=True).image_embeds)
    alone = fill(transformers.CLIPVisionModel(vision))
    alone.save_pretrained(FOLDER / "clip_vision")
    alone = alone.double()
    both("clip_vision", lambda x: alone(x, interpolate_pos_encoding=True).pooler_output)

    vision = {**TRANSFORMER, "hidden_act": "gelu_pytorch_tanh"}
    whole = fill(
        transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
    )
    whole.save_pretrained(FOLDER / "siglip")
    whole = whole.double()
    both("siglip", lambda x: whole.vision_model(x, interpolate_pos_encoding=True).pooler_output)
    config = transformers.SiglipVisionConfig(**TRANSFORMER, hidden_act="gelu")
    tower = fill(transformers.SiglipVisionModel(config))
    tower.save_pretrained(FOLDER / "siglip_vision")
    tower = tower.double()
    both("siglip_vision", lambda x: tower(x, interpolate_pos_encoding=True).pooler_output)

    open_clips(images, arrays)


def open_clips(images: dict[int, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    """OpenCLIP with its own tower, QuickGELU and GELU, and with a tower of timm."""
    text = {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 2, "layers": 1}
    own = {"image_size": 24, "patch_size": 8, "width": 16, "head_width": 4, "layers": 2}
    trunk = {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 32,
    }
    settings = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    for name, further in (
        ("open_clip", {"vision_cfg": own, "quick_gelu": True}),
        ("open_clip_gelu", {"vision_cfg": {**own, "mlp_ratio": 2.0}}),
        ("open_clip_timm", {"vision_cfg": trunk}),
    ):
        config = {"embed_dim": 12, "text_cfg": text, **further}
        if name == "open_clip_timm":
            trunk_model = timm.create_model(
                "vit_tiny_patch16_224",
                num_classes=0,
                global_pool="token",
                img_size=32,
                embed_dim=24,
                depth=2,
                num_heads=3,
            )
            model = fill(_Tower(trunk_model, 24, 12))
            state = {f"visual.{key}": value for key, value in model.state_dict().items()}
        else:
            model = fill(open_clip.CLIP(**config))
            state, model = model.state_dict(), model.visual
        state = {key: value for key, value in state.items() if value.is_floating_point()}
        write(
            name,
            state,
            {"open_clip_config.json": {"model_cfg": config, "preprocess_cfg": settings}},
            "open_clip_model.safetensors",
        )
        if name == "open_clip_timm":  # Its trunk is narrower than timm's of that name.
            (FOLDER / name / "encoder.json").write_text(json.dumps({"heads": 3}) + "\n")
        if name != "open_clip_timm":
            for size in (16, 40):
                arrays[f"{name}.{size}"] = at_size(config, state, images, size)
        model = model.double()
        size = 32 if name == "open_clip_timm" else 24
        with torch.no_grad():
            arrays[f"{name}.{size}"] = model(pixels(images[size])).numpy()


def at_size(config: dict, state: dict, images: dict[int, np.ndarray], size: int) -> np.ndarray:
    """The features at another image size, with positions as open_clip resizes them."""
    vision = {**config["vision_cfg"], "image_size": size}
    model = open_clip.CLIP(**{**config, "vision_cfg": vision}).eval()
    resized = dict(state)
    open_clip.model.resize_pos_embed(resized, model)
    model.load_state_dict(resized, strict=False)
    with torch.no_grad():
        return model.visual.double()(pixels(images[size])).numpy()


class _Tower(torch.nn.Module):
    """open_clip's TimmModel with a linear projection without bias, on a smaller trunk."""

    def __init__(self, trunk: torch.nn.Module, width: int, outputs: int):
        super().__init__()
        self.trunk = trunk
        self.head = torch.nn.Sequential()
        self.head.add_module("proj", torch.nn.Linear(width, outputs, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(x))


if __name__ == "__main__":
    main()
