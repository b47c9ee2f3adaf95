"""Encoders as folders of transformers and of timm, which those libraries and this one read."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.exports.export_format import Parts, parts_of
from examine_jax.encoders.load import load_encoder
from examine_jax.encoders.save import preprocessor_config, vit_mae_content
from examine_jax.images.decoding.framing import Framing
from examine_jax.models import ViTConfig
from examine_jax.models.weights.encoder_json import FEATURES
from examine_jax.models.weights.export_layouts import TIMM, TRANSFORMERS, Layout
from examine_jax.models.weights.written import WrittenNetwork

_FEATURES = {pooling: feature for feature, pooling in FEATURES.items()}


@dataclasses.dataclass(frozen=True)
class Transformers:
    """A folder that transformers' AutoModel reads."""

    name: str = "transformers"

    def write(self, encoder: Encoder, folder: pathlib.Path) -> str:
        parts = parts_of(encoder)
        network = _laid_out(encoder, parts, TRANSFORMERS, self.name)
        _write(folder, network, parts, {"preprocessor_config.json": _preprocessor(parts)})
        return f"""Read it with transformers:

```python
import torch
from transformers import AutoModel

model = AutoModel.from_pretrained(FOLDER).eval()
with torch.no_grad():
    outputs = model(pixel_values=pixels)  # float32 [images, channels, rows, columns], normalised
features = {network.feature}
```

`AutoImageProcessor.from_pretrained(FOLDER)` prepares pixels as below. Where it does not use Pillow,
its resize differs from Pillow's by a grey level here and there.
"""

    def read_back(self, folder: pathlib.Path, images: np.ndarray) -> np.ndarray | None:
        return load_encoder(folder).embed(images)


@dataclasses.dataclass(frozen=True)
class Timm:
    """A folder that timm's create_model reads."""

    name: str = "timm"

    def write(self, encoder: Encoder, folder: pathlib.Path) -> str:
        parts = parts_of(encoder)
        network = _laid_out(encoder, parts, TIMM, self.name)
        size = parts.config.image_size
        network.configuration["pretrained_cfg"] |= {
            "input_size": [parts.config.channels, size, size],
            "mean": list(parts.mean),
            "std": list(parts.deviation),
            "interpolation": parts.framing.interpolation,
            "crop_pct": _crop_share(parts.framing),
            "crop_mode": "squash" if parts.framing.rule == "squash" else "center",
            "num_classes": 0,
        }
        _write(folder, network, parts, {})
        return f"""Read it with timm (1.0.16 or later):

```python
import timm
import torch

model = timm.create_model("local-dir:FOLDER", pretrained=True, num_classes=0).eval()
with torch.no_grad():
    outputs = model(pixels)  # float32 [images, channels, rows, columns], normalised
features = {network.feature}
```

`timm.data.resolve_model_data_config(model)` has the size, mean and deviation below.
"""

    def read_back(self, folder: pathlib.Path, images: np.ndarray) -> np.ndarray | None:
        return load_encoder(folder).embed(images)


@dataclasses.dataclass(frozen=True)
class ViTMAE:
    """A masked autoencoder with its decoder, as transformers' ViTMAEForPreTraining."""

    name: str = "vit_mae"

    def write(self, encoder: Encoder, folder: pathlib.Path) -> str:
        parts = parts_of(encoder)
        _check_whole(encoder, self.name)
        configuration, tensors = vit_mae_content(encoder)
        network = WrittenNetwork(tensors, configuration, "")
        _write(folder, network, parts, {"preprocessor_config.json": _preprocessor(parts)})
        return """Go on training it with transformers:

```python
from transformers import ViTMAEForPreTraining

model = ViTMAEForPreTraining.from_pretrained(FOLDER)
```

Its encoder hides patches unless `mask_ratio` is 0: to embed images, take the format `transformers`.
"""

    def read_back(self, folder: pathlib.Path, images: np.ndarray) -> np.ndarray | None:
        return load_encoder(folder).embed(images)


def _preprocessor(parts: Parts) -> dict[str, Any]:
    return preprocessor_config(parts.framing, parts.mean, parts.deviation)


def _crop_share(framing: Framing) -> float:
    """timm's crop_pct, of which floor(size / crop_pct) is the shorter side."""
    if framing.rule == "squash":
        return 1.0
    share = framing.size / framing.shorter_side
    while math.floor(framing.size / share) < framing.shorter_side:
        share = math.nextafter(share, 0.0)
    return share


def _laid_out(
    encoder: Encoder, parts: Parts, layouts: Mapping[type, Layout], library: str
) -> WrittenNetwork:
    kind = type(parts.config)
    if kind not in layouts:
        name = kind.__name__.removesuffix("Config")
        raise ValueError(
            f"a {name} cannot be written for {library} here, only "
            f"{', '.join(one.__name__.removesuffix('Config') for one in layouts)}; take the format "
            "onnx or stablehlo"
        )
    _check_whole(encoder, library)
    return layouts[kind](parts.config, parts.params, parts.batch_stats)


def _check_whole(encoder: Encoder, library: str) -> None:
    if encoder.readout is not None:
        raise ValueError(
            f"{library}'s folders hold the network, not which of its outputs are read: leave out "
            "feature and layers, or take the format onnx or stablehlo"
        )


def _write(
    folder: pathlib.Path,
    network: WrittenNetwork,
    parts: Parts,
    files: Mapping[str, Mapping[str, Any]],
) -> None:
    # transformers reads no file that does not say of which framework it is.
    save_file(network.tensors, folder / "model.safetensors", metadata={"format": "pt"})
    description: dict[str, Any] = {
        "image_size": parts.config.image_size,
        "mean": list(parts.mean),
        "deviation": list(parts.deviation),
        "resize": parts.framing.rule,
        "interpolation": parts.framing.interpolation,
        "note": "for examine_jax; other libraries do not read this file",
    }
    if parts.framing.rule == "shorter_side":
        description["resize_side"] = parts.framing.shorter_side
    if isinstance(parts.config, ViTConfig):
        description["feature"] = _FEATURES[parts.config.pooling]
    written = {"config.json": network.configuration, "encoder.json": description, **files}
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
