"""Convolutions of each channel by itself, with a stride and a padding of each side."""

import itertools

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Float
from examine_jax.models import convnext
from examine_jax.models.resnet import Padding

_LARGE = 1 << 13  # values of an image from which a sum of shifted images is worth its compilation


def depthwise(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "size size 1 channels"],
    stride: int = 1,
    padding: Padding | None = None,
) -> Float[Array, "batch rows columns channels"]:
    """A convolution of each channel by itself.

    On a CPU, a large one is a sum of shifted images: XLA's grouped convolution takes ten times as
    long there.

    Args:
        x: the images.
        kernel: of each channel.
        stride: in both directions.
        padding: zeros before and after the rows, and the columns; None: half the kernel's size.
    """
    half = kernel.shape[0] // 2
    padding = padding or ((half, half), (half, half))
    if stride == 1 and padding == ((half, half), (half, half)):
        return convnext.depthwise(x, kernel)
    if x.shape[1] * x.shape[2] * x.shape[3] < _LARGE:
        return _of_groups(x, kernel, stride, padding)

    def shifted(x: Array, kernel: Array) -> Array:
        return _of_shifted(x, kernel, stride, padding)

    def grouped(x: Array, kernel: Array) -> Array:
        return _of_groups(x, kernel, stride, padding)

    return lax.platform_dependent(x, kernel, cpu=shifted, default=grouped)


def _of_shifted(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    size, wide = kernel.shape[0], kernel.astype(jnp.float32)
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = ((extent - size) // stride + 1 for extent in padded.shape[1:3])
    total = jnp.zeros((x.shape[0], rows, columns, x.shape[-1]), jnp.float32)
    for i, j in itertools.product(range(size), repeat=2):
        seen = padded[
            :, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride
        ]
        total = total + seen.astype(jnp.float32) * wide[i, j, 0]
    return total.astype(x.dtype)


def _of_groups(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )
