"""RoIAlign over a pyramid by gathering pixels: for CPUs and GPUs."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array, Float, Int
from examine_jax.detection.geometry.roi_sampling import RoISampling, positions, taps


def roi_align(
    sampling: RoISampling,
    maps: Sequence[Float[Array, "batch _ _ channels"]],
    strides: tuple[int, ...],
    boxes: Float[Array, "batch rois 4"],
) -> Float[Array, "batch rois outputs outputs channels"]:
    """The features of each box, [outputs, outputs] bins from its own level of the pyramid.

    All levels form one list of pixels, of which each sample gathers four. The gradient with respect
    to the maps is a scatter. The boxes get no gradient. A GPU adds up the scatter in any order, so
    its rounding varies from run to run, unless XLA_FLAGS sets xla_gpu_deterministic_ops to true.

    Args:
        sampling: the settings.
        maps: the feature maps, one for each stride.
        strides: ascending powers of two.
        boxes: corners in pixels of the image. Boxes that are not finite get zeros.
    """
    boxes = lax.stop_gradient(boxes)
    level = sampling.levels(boxes, strides)
    heights, widths = (np.array([one.shape[axis] for one in maps]) for axis in (1, 2))
    offsets = np.cumsum([0, *(heights * widths)[:-1]])
    height, width, offset = (
        jnp.asarray(values, jnp.int32)[level][..., None] for values in (heights, widths, offsets)
    )
    scale = jnp.asarray(1 / np.asarray(strides), boxes.dtype)[level]
    y = taps(positions(sampling, boxes[..., 1], boxes[..., 3], scale), height)
    x = taps(positions(sampling, boxes[..., 0], boxes[..., 2], scale), width)
    # [batch, rois, samples down, samples across, taps down, taps across]
    rows = jnp.stack([y.low, y.high], -1) * width[..., None] + offset[..., None]
    index = rows[..., :, None, :, None] + jnp.stack([x.low, x.high], -1)[..., None, :, None, :]
    weight = (
        jnp.stack([y.of_low, y.of_high], -1)[..., :, None, :, None]
        * jnp.stack([x.of_low, x.of_high], -1)[..., None, :, None, :]
    )
    pixels = jnp.concatenate([one.reshape(len(one), -1, one.shape[-1]) for one in maps], axis=1)

    def by_tap(values: Array) -> Array:
        """[taps of a bin, batch, rois * bins]."""
        n, bins = sampling.samples, sampling.outputs
        values = values.reshape(*values.shape[:2], bins, n, bins, n, 2, 2)
        values = values.transpose(3, 5, 6, 7, 0, 1, 2, 4)
        return values.reshape(4 * n * n, len(boxes), -1)

    features = _weighted_sum(pixels, by_tap(index), by_tap(weight / sampling.samples**2))
    side = sampling.outputs
    return features.reshape(*boxes.shape[:2], side, side, pixels.shape[-1])


@jax.custom_vjp
def _weighted_sum(
    pixels: Float[Array, "batch pixels channels"],
    index: Int[Array, "taps batch outputs"],
    weight: Float[Array, "taps batch outputs"],
) -> Float[Array, "batch outputs channels"]:
    """The sum over taps of weight * pixels[index], float32. The weights get no gradient."""
    total = jnp.zeros((*index.shape[1:], pixels.shape[-1]), jnp.float32)
    for rows, factors in zip(index, weight):
        total = total + _gather(pixels, rows) * factors[..., None]
    return total


@jax.vmap
def _gather(pixels: Array, rows: Array) -> Array:
    return pixels.at[rows].get(mode="promise_in_bounds")


@jax.vmap
def _scatter(total: Array, rows: Array, values: Array) -> Array:
    return total.at[rows].add(values, mode="promise_in_bounds")


def _forward(pixels: Array, index: Array, weight: Array) -> tuple[Array, tuple[Array, ...]]:
    return _weighted_sum(pixels, index, weight), (pixels, index, weight)


def _backward(residuals: tuple[Array, ...], gradient: Array) -> tuple[Array, None, Array]:
    """A loop over the taps: on a CPU ten times as fast as one scatter of all, and it needs less
    memory.
    """
    pixels, index, weight = residuals

    def body(total: Array, tap: tuple[Array, Array]) -> tuple[Array, None]:
        rows, factors = tap
        return _scatter(total, rows, gradient * factors[..., None]), None

    total, _ = lax.scan(body, jnp.zeros(pixels.shape, jnp.float32), (index, weight))
    return total.astype(pixels.dtype), None, jnp.zeros_like(weight)


_weighted_sum.defvjp(_forward, _backward)
