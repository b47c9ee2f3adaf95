"""Folders that hold no encoder that can be read: what is wrong, and what to do."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

# What the classes of a model_type's `architectures` begin with.
_CLASSES = {
    "vit_mae": "ViTMAE",
    "vit": "ViT(?!MAE|MSN|Det|Hybrid)",
    "dinov2": "Dinov2",
    "dinov2_with_registers": "Dinov2(With|.*With)Registers",
    "dinov3_vit": "DINOv3ViT",
    "dinov3_convnext": "DINOv3ConvNext",
    "efficientnet": "EfficientNet",
    "beit": "Beit",
    "data2vec-vision": "Data2VecVision",
    "resnet": "ResNet",
    "convnext": "ConvNext(?!V2)",
    "swin": "Swin(?!v2|2)",
    "sam": "Sam(?!HQ|2|3)",
    "sam_vision_model": "SamVision",
    "clip": "CLIP",
    "clip_vision_model": "CLIP",
    "siglip": "Siglip(?!2)",
    "siglip_vision_model": "Siglip(?!2)",
}
_WITHOUT_CONTENT = re.compile(
    r"(README|LICEN[CS]E|NOTICE|USE_POLICY).*|\..*|.*\.(md|txt|jpg|jpeg|png|gif|svg)", re.IGNORECASE
)


def refuse_empty_folder(folder: pathlib.Path) -> None:
    """Raises a ValueError if a folder has no file but those that anyone may see."""
    names = sorted(entry.name for entry in folder.iterdir())
    snapshots = folder / "snapshots"
    if snapshots.is_dir() and any(snapshots.iterdir()):
        newest = sorted(snapshots.iterdir())[-1]
        raise ValueError(f"{folder} is a download cache; give the folder within it: {newest}")
    if names and all(_WITHOUT_CONTENT.fullmatch(name) for name in names):
        raise ValueError(
            f"{folder} has neither config.json nor weights, only {', '.join(names[:3])}: its owner "
            "may ask you to accept terms first; accept them, sign in, and download all files"
        )


def refuse_adapter(folder: pathlib.Path) -> None:
    """Raises a ValueError if a folder holds an adapter, whose weights belong to another network."""
    if not (folder / "adapter_config.json").is_file():
        return
    raise ValueError(
        f"{folder} holds an adapter (adapter_config.json), which changes another encoder's "
        "weights: merge it into its base where torch is installed (PEFT's merge_and_unload, then "
        "save_pretrained), and give that folder; to use the base alone, move the adapter's files "
        "away"
    )


def refuse_configuration(configuration: Mapping[str, Any], where: str) -> None:
    """Raises a ValueError if a configuration is of quantised weights, a text tower, or at odds.

    At odds: its `architectures` name another kind of network than its model_type.
    """
    quantisation = configuration.get("quantization_config")
    if quantisation is not None:
        method = quantisation.get("quant_method") if isinstance(quantisation, dict) else None
        raise ValueError(
            f"{where}: the weights are quantised (quantization_config, {method}), which cannot be "
            "read; take the encoder in float32, bfloat16 or float16"
        )
    kind = str(configuration.get("model_type"))
    classes = configuration.get("architectures")
    names = [name for name in classes if isinstance(name, str)] if isinstance(classes, list) else []
    texts = [name for name in names if "Text" in name]
    if kind.endswith("_text_model") or texts:
        raise ValueError(
            f"{where}: it is a text tower alone ({texts[0] if texts else kind}), which takes no "
            "images; give the folder of the vision tower or of the whole model"
        )
    expected = _CLASSES.get(kind)
    if "architecture" in configuration or expected is None:
        return
    for name in names:
        if not re.match(expected, name):
            raise ValueError(
                f"{where}: model_type is {kind!r}, but architectures names {name}: one of them is "
                'wrong; say which network it is in encoder.json ({"configuration": '
                '{"architectures": null}} keeps the model_type)'
            )
