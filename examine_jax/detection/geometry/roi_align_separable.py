"""RoIAlign over a pyramid by two matrix products a level: for TPUs, and to test the other form."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Float
from examine_jax.detection.geometry.roi_sampling import RoISampling, positions, taps


def roi_align_separable(
    sampling: RoISampling,
    maps: Sequence[Float[Array, "batch _ _ channels"]],
    strides: tuple[int, ...],
    boxes: Float[Array, "batch rois 4"],
) -> Float[Array, "batch rois outputs outputs channels"]:
    """As `roi_align`, to rounding.

    Interpolation is bilinear, so a bin's value is a product of weights of rows and of columns. Each
    level computes all boxes, and those of other levels are set to zero. This is much more work
    than `roi_align` does, but no scatter.
    """
    boxes = lax.stop_gradient(boxes)
    level = sampling.levels(boxes, strides)
    shape = (*boxes.shape[:2], sampling.outputs, sampling.outputs, maps[0].shape[-1])
    total = jnp.zeros(shape, jnp.float32)
    for row, (one, stride) in enumerate(zip(maps, strides)):
        own = (level == row)[..., None, None]
        down, across = (
            jnp.where(own, _weights(sampling, boxes, axis, 1 / stride, one.shape[2 - axis]), 0)
            for axis in (1, 0)
        )
        bands = jnp.einsum("brph,bhwc->brpwc", down, one.astype(jnp.float32))
        total = total + jnp.einsum("brqw,brpwc->brpqc", across, bands)
    return total


def _weights(
    sampling: RoISampling, boxes: Array, axis: int, scale: float, side: int
) -> Float[Array, "batch rois outputs side"]:
    """How much each place along an axis (0: x) weighs in each bin."""
    found = taps(positions(sampling, boxes[..., axis], boxes[..., axis + 2], scale), side)
    weights = (
        jax.nn.one_hot(found.low, side) * found.of_low[..., None]
        + jax.nn.one_hot(found.high, side) * found.of_high[..., None]
    )
    bins = (*boxes.shape[:2], sampling.outputs, sampling.samples, side)
    return weights.reshape(bins).mean(axis=-2)
