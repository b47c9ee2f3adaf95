"""Areas, overlaps and bounds of boxes."""

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Bool, Float


def area(boxes: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    """Areas of the boxes; 0 where a side is not positive."""
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou(first: Float[Array, "n 4"], second: Float[Array, "m 4"]) -> Float[Array, "n m"]:
    """Intersection over union of all pairs; 0 where a box is empty or not finite."""
    least = jnp.maximum(first[:, None, :2], second[None, :, :2])
    most = jnp.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = jnp.maximum(most - least, 0)
    intersection = sides[..., 0] * sides[..., 1]
    union = area(first)[:, None] + area(second)[None, :] - intersection
    known = (intersection > 0) & (union < jnp.inf)  # False for NaN
    return jnp.where(known, intersection / jnp.where(known, union, 1), 0)


def is_finite(boxes: Float[Array, "*batch 4"]) -> Bool[Array, "*batch"]:
    """Whether all four coordinates are finite."""
    return jnp.isfinite(boxes).all(axis=-1)


def is_larger(boxes: Float[Array, "*batch 4"], side: int | float) -> Bool[Array, "*batch"]:
    """Whether the box is finite and both its sides are at least `side`."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return is_finite(boxes) & (sides >= side).all(axis=-1)


def clip(
    boxes: Float[Array, "*batch 4"], height: int | float, width: int | float
) -> Float[Array, "*batch 4"]:
    """The boxes cut to the image. NaN stays NaN."""
    return jnp.clip(boxes, 0, jnp.asarray([width, height, width, height], boxes.dtype))
