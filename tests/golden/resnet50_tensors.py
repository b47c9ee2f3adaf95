"""Makes a ResNet-50's state dict under torchvision's names, for make_weights.py and the tests."""

import zlib

import numpy as np

BOTTLENECK_DEPTHS = (3, 4, 6, 3)


def resnet50_shapes() -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of the float tensors of torchvision's resnet50.

    The classifier is left out.
    """
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), **_norm("bn1", 64)}
    inputs = 64
    for stage, depth in enumerate(BOTTLENECK_DEPTHS):
        width = 64 * 2**stage
        for block in range(depth):
            name = f"layer{stage + 1}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, inputs, 1, 1)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
            shapes |= (
                _norm(f"{name}.bn1", width)
                | _norm(f"{name}.bn2", width)
                | _norm(f"{name}.bn3", 4 * width)
            )
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
                shapes |= _norm(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    return shapes


def fill(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Returns float32 tensors of these shapes; none is at zero or one.

    Each tensor's name is its seed, so their order does not matter.
    """
    tensors = {}
    for name, shape in shapes.items():
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        noise = generator.standard_normal(shape)
        if name.endswith("running_var"):
            values = generator.uniform(0.5, 1.5, shape)
        elif len(shape) == 4:
            values = noise * (2 / np.prod(shape[1:])) ** 0.5
        elif name.endswith("weight"):
            values = (0.4 if "bn3" in name else 1.0) + 0.2 * noise
        else:
            values = 0.1 * noise
        tensors[name] = values.astype(np.float32)
    return tensors


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")
    }
