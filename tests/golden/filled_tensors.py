"""Fills tensors by their names alone, so that golden networks need no stored weights."""

import zlib

import numpy as np


def fill(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """float32 tensors of these shapes; none is at zero or one.

    Each tensor's name is its seed, so their order does not matter.
    """
    tensors = {}
    for name, shape in shapes.items():
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        noise = generator.standard_normal(shape)
        if name.endswith("running_var"):
            values = generator.uniform(0.5, 1.5, shape)
        elif name.endswith(("gamma", "layer_scale_parameter")):
            values = 0.3 + 0.1 * noise
        elif len(shape) > 1:
            values = noise * (2 / np.prod(shape[1:])) ** 0.5
        elif name.endswith("weight"):
            values = 1 + 0.2 * noise
        else:
            values = 0.1 * noise
        tensors[name] = values.astype(np.float32)
    return tensors
