"""Random boxes for the tests."""

import numpy as np


def random_boxes(seed: int, count: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Boxes of all sizes, some of which leave the image; float32 [count, 4]."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-4, [width + 4, height + 4], (count, 2))
    half = np.exp(rng.uniform(np.log(2), np.log(height / 2), (count, 2)))
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
