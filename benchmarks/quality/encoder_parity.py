"""How far encoders read from others' folders are from their own libraries' features.

python -m benchmarks.quality.encoder_parity --output=benchmarks/results/FILE.json \
    --torch_python=/path/to/python

Two parts: all tiny networks of tests/golden/encoders_*, at several image sizes; and full-size
networks with random weights, which another Python with torch and timm writes and runs
(timm_encoder.py). The figures are largest differences over the largest feature, in float32, and
root mean squares of differences over features', in bfloat16. Figures that the output file holds
already stay, unless they are measured again.
"""

import dataclasses
import json
import pathlib
import subprocess
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.models import ViTConfig
from examine_jax.models.weights import ImportedNetwork, read_network
from tests.support import convolutional_encoders

_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python with torch and timm; without it, no full-size networks."
)
_FULL_SIZE = flags.DEFINE_list("full_size", ["vit_large", "uni2_h"], "Of timm_encoder.ENCODERS.")
_TINY = flags.DEFINE_bool("tiny", True, "Also compare the tiny networks of the golden files.")
_GOLDEN = pathlib.Path(__file__).parents[2] / "tests" / "golden"
_GOLDEN_FILES = ("encoders_vit", "encoders_beit_eva", "encoders_swin_sam", "encoders_conch")


def _features(network: ImportedNetwork, images: np.ndarray, scaled: bool, dtype: str) -> np.ndarray:
    encoder = (
        network.encoder.with_precision(dtype)
        if isinstance(network.encoder, ViTConfig)
        else dataclasses.replace(network.encoder, dtype=dtype)
    )
    pixels = images[..., : network.encoder.channels] / np.float32(255)
    if scaled:
        pixels = (pixels - np.float32(network.pixel_mean)) / np.float32(network.pixel_deviation)
    variables = {"params": network.params, "batch_stats": network.batch_stats}
    run = jax.jit(lambda variables, x: encoder.module().apply(variables, x))
    return np.asarray(run(variables, jnp.asarray(pixels, jnp.float32)))


def _distances(
    path: pathlib.Path, size: int, images: np.ndarray, expected: np.ndarray, scaled: bool
) -> dict[str, float]:
    network = read_network(path, image_size=size)
    exact = _features(network, images, scaled, "float32") - expected
    half = _features(network, images, scaled, "bfloat16") - expected
    return {
        "float32": float(np.abs(exact).max() / np.abs(expected).max()),
        "bfloat16": float(np.sqrt(np.mean(half**2) / np.mean(expected**2))),
    }


def _golden() -> dict[str, dict[str, float]]:
    found = {}
    for golden in _GOLDEN_FILES:
        with np.load(_GOLDEN / f"{golden}.npz") as file:
            for folder in sorted((_GOLDEN / golden).iterdir()):
                for size in (24, 32, 16, 40, 48):
                    key = f"{folder.name.removesuffix('_in_memory')}.{size}"
                    if key not in file:
                        continue
                    expected = file[key]
                    found[f"{folder.name} at {size}"] = _distances(
                        folder, size, file[f"images.{size}"], expected, scaled=False
                    )
    return found


def _convolutional() -> dict[str, dict[str, float]]:
    found = {}
    with tempfile.TemporaryDirectory() as parent:
        for key in convolutional_encoders.arrays():
            name, size = key.rsplit(".", 1)
            if name != "images":
                path = convolutional_encoders.write(pathlib.Path(parent), name)
                images = convolutional_encoders.arrays()[f"images.{size}"]
                expected = convolutional_encoders.arrays()[key]
                found[f"{name} at {size}"] = _distances(
                    path, int(size), images, expected, scaled=False
                )
    return found


def _full_size(name: str, python: str) -> dict[str, dict[str, float]]:
    found = {}
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent) / name
        script = pathlib.Path(__file__).with_name("timm_encoder.py")
        subprocess.run([python, str(script), name, str(folder)], check=True)
        with np.load(folder / "features.npz") as file:
            for entry in file.files:
                if entry.startswith("images."):
                    size = entry.removeprefix("images.")
                    found[f"{name} at {size}"] = _distances(
                        folder, int(size), file[entry], file[f"features.{size}"], scaled=True
                    )
    return found


def main(_: list[str]) -> None:
    file = pathlib.Path(_OUTPUT.value)
    kept: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
    for name in _FULL_SIZE.value if _TORCH_PYTHON.value else ():
        kept = _recorded(file, kept | _full_size(name, _TORCH_PYTHON.value))
    if _TINY.value:
        _recorded(file, kept | _golden() | _convolutional())


def _recorded(
    file: pathlib.Path, distances: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    write_text(file, json.dumps(distances, indent=1) + "\n")
    for name, of_dtype in distances.items():
        print(name, {dtype: f"{value:.1e}" for dtype, value in of_dtype.items()}, flush=True)
    return distances


if __name__ == "__main__":
    app.run(main)
