"""A ResNet-50's state dict under torchvision's names, from a seed; for make_weights.py and the tests."""

import zlib

import numpy as np

BOTTLENECK_DEPTHS = (3, 4, 6, 3)


def resnet50_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision.models.resnet50's floating-point tensors, without the classifier."""
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
    """Each tensor from its own name, so that their order does not matter; float32, nothing at zero or one."""
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
