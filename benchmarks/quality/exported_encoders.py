"""How far exported encoders are from themselves, as other libraries run them.

python -m benchmarks.quality.exported_encoders --output=benchmarks/results/FILE.json \
    --torch_python=/path/to/python

Encoders of many kinds with random weights are exported to every format that can say them.
transformers and timm, in another Python, read theirs (read_exports.py); onnxruntime and JAX run the
others here. The figures are largest differences over the largest feature, in float32. What a format
cannot say is recorded with the reason.
"""

import json
import pathlib
import subprocess
import tempfile
from typing import Any

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.encoders import Encoder, ImportedEncoder
from examine_jax.encoders.exports.card import ModelCard
from examine_jax.encoders.exports.export import export_encoder
from examine_jax.encoders.exports.registry import FORMATS
from examine_jax.models import ConvNeXtConfig, ResNetConfig, ViTConfig
from examine_jax.models.attention_pooling import AttentionPooling
from examine_jax.models.rotary_positions import RotaryPositions
from examine_jax.models.vit import ViTExtras
from examine_jax.pretraining.pixels import PixelScale

_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python with torch, timm and transformers.", required=True
)
_ONLY = flags.DEFINE_list("only", None, "Of ENCODERS.")
_BY_LIBRARY = ("transformers", "timm")
_SIZES: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 8,
    "channels": 3,
    "width": 32,
    "depth": 2,
    "heads": 2,
    "mlp_width": 64,
}
_FOUR: dict[str, Any] = {"depths": (1, 1, 2, 1), "widths": (8, 8, 16, 16)}
ENCODERS: dict[str, Any] = {
    "vit": ViTConfig(**_SIZES, pooling="class_token"),
    "vit without class token and norm": ViTConfig(**_SIZES, class_token=False, final_norm=False),
    "vit, learned, quick gelu, epsilon 1e-5": ViTConfig(
        **_SIZES, positions="learned", mlp="quick_gelu", layer_norm_epsilon=1e-5, qkv_bias=False
    ),
    "vit, layer scale": ViTConfig(**_SIZES, layer_scale=0.1, pooling="class_token"),
    "vit, registers, swiglu": ViTConfig(
        **{**_SIZES, "mlp_width": 88},
        layer_scale=0.1,
        mlp="swiglu",
        pooling="class_and_mean",
        extras=ViTExtras(registers=2),
    ),
    "vit, geglu": ViTConfig(**_SIZES, mlp="geglu", pooling="class_token"),
    "vit, attention pooling": ViTConfig(
        **_SIZES,
        class_token=False,
        positions="learned",
        pooling="attention",
        extras=ViTExtras(attention_pooling=AttentionPooling(2, 64)),
    ),
    "vit, norms of queries and keys": ViTConfig(
        **_SIZES, pooling="class_token", extras=ViTExtras(query_key_norm=True)
    ),
    "vit, norm after the pooling": ViTConfig(
        **_SIZES, final_norm=False, extras=ViTExtras(pooled_norm=True)
    ),
    "vit, rotary": ViTConfig(
        **_SIZES, positions="rotary", extras=ViTExtras(rotary=RotaryPositions())
    ),
    "resnet, basic": ResNetConfig(image_size=32, channels=3, width=8, depths=(1, 2)),
    "resnet, bottleneck": ResNetConfig(32, 3, "bottleneck", (1, 2), 8),
    "resnet18, grey": ResNetConfig(image_size=32, channels=1),
    "resnet, small stem": ResNetConfig(8, 3, "basic", (1, 1), 8, "small_image"),
    "convnext": ConvNeXtConfig(32, **_FOUR),
    "convnext v2": ConvNeXtConfig(32, **_FOUR, layer_scale=None, response_norm=True),
}


def _encoder(config: Any) -> Encoder:
    scale = PixelScale((0.3, 0.4, 0.5)[: config.channels], (0.2, 0.25, 0.3)[: config.channels])
    method = ImportedEncoder(config, scale)
    shapes = jax.eval_shape(lambda key: method.init(key, {}), jax.random.key(0))
    random = np.random.default_rng(1)
    params, state = jax.tree.map(
        lambda leaf: (0.3 * np.abs(random.standard_normal(leaf.shape))).astype(np.float32), shapes
    )
    return Encoder(method, params, state)


def main(_: list[str]) -> None:
    record: dict[str, Any] = {"jax": jax.__version__, "differences": {}, "refused": {}}
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        for name in _ONLY.value or ENCODERS:
            config, encoder = ENCODERS[name], _encoder(ENCODERS[name])
            shape = (3, config.image_size, config.image_size, config.channels)
            pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            np.savez(folder / f"{name}.npz", pixels=pixels, features=encoder.embed(pixels))
            for format in FORMATS.values():
                try:
                    found = export_encoder(
                        folder / f"{name}-{format.name}", encoder, format, ModelCard(name)
                    )
                except ValueError as error:
                    record["refused"][f"{name}-{format.name}"] = str(error)
                    continue
                if format.name not in _BY_LIBRARY:
                    record["differences"][f"{name}-{format.name}"] = found.difference
        script = pathlib.Path(__file__).with_name("read_exports.py")
        answer = subprocess.run(
            [_TORCH_PYTHON.value, str(script), place], check=True, capture_output=True, text=True
        )
    record["differences"] |= json.loads(answer.stdout.splitlines()[-1])
    record["largest"] = max(record["differences"].values())
    write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["differences"], indent=1))


if __name__ == "__main__":
    app.run(main)
