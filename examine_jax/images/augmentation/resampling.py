"""Resizing as a matrix product: the weights of Pillow's resize along one axis."""

from typing import Literal

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float

Interpolation = Literal["bilinear", "bicubic"]


def resampling_weights(
    start: Float[Array, " batch"],
    length: Float[Array, " batch"],
    source_size: int,
    target_size: int,
    interpolation: Interpolation,
) -> Float[Array, "batch target_size source_size"]:
    """Weights that resize pixels start to start + length - 1 of an axis to target_size pixels.

    As in Pillow, the filter widens with the reduction (antialiasing). Pixels outside the crop have
    no weight, as if it had been cut out first (torchvision's resized_crop). Each row sums to 1.
    """
    scale = (length / target_size)[:, None, None]
    start, end = start[:, None, None], (start + length)[:, None, None]
    centre = start + (jnp.arange(target_size, dtype=jnp.float32)[:, None] + 0.5) * scale
    position = jnp.arange(source_size, dtype=jnp.float32) + 0.5
    distance = jnp.abs(position - centre) / jnp.maximum(scale, 1)
    weights = _triangle(distance) if interpolation == "bilinear" else _cubic(distance)
    weights = jnp.where((position > start) & (position < end), weights, 0)
    return weights / weights.sum(axis=-1, keepdims=True)


def _triangle(distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.maximum(1 - distance, 0)


def _cubic(distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Keys' cubic with a = -0.5 as in Pillow. (OpenCV and torch have a = -0.75.)"""
    a = -0.5
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * a
    return jnp.where(distance < 1, near, jnp.where(distance < 2, far, 0))
