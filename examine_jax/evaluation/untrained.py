"""The control that shows what training added: the same network at its initialisation."""

import jax
import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.encoders import Encoder
from examine_jax.pretraining import Method


def untrained_encoder(method: Method, pixels: UInt8[np.ndarray, "n h w c"], seed: int) -> Encoder:
    """Returns the method's network at its initialisation; only the images' shape matters."""
    example = {"image": pixels, "index": np.arange(len(pixels), dtype=np.int32)}
    return Encoder(method, *method.init(jax.random.key(seed), example))
