"""Square convolutions without bias, and the maximum over windows, that are fast on a CPU too."""

import functools
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from examine_jax.common.shapes import Array, Float

# Zeros before and after the rows, and the columns.
Padding = tuple[tuple[int, int], tuple[int, int]]


class Convolution(nn.Module):
    """A square convolution without bias; He-normal by fan-out.

    It is padded by half its size as in torch, or by `padding` (before and after rows and columns).

    Size 1 is a matrix product: on a CPU, XLA's convolution takes five times as long for the
    kernel's gradient. So is a convolution whose output is smaller than its kernel (the last stage
    for images up to 64 px): XLA's takes forty times as long.

    The outputs are of `dtype`; with `wide`, float32: what a product of a narrower dtype adds up to
    is not rounded.
    """

    outputs: int
    size: int
    stride: int
    dtype: Any
    padding: Padding | None = None
    groups: int = 1
    wide: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns outputs"]:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.outputs)
        initialiser = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        kernel = self.param("kernel", initialiser, shape, jnp.float32).astype(self.dtype)
        sums = jnp.dtype(jnp.float32 if self.wide else self.dtype)
        x = x.astype(self.dtype)
        return convolve(x, kernel, self.stride, self.padding, self.groups, sums)


def convolve(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "size size channels_of_a_group outputs"],
    stride: int = 1,
    padding: Padding | None = None,
    groups: int = 1,
    sums: Any = None,
) -> Float[Array, "batch rows columns outputs"]:
    """A convolution padded by half the kernel's size or by `padding`, fast on a CPU too.

    `sums`: the outputs' dtype, and that of what a matrix product's factors add up to; None: that of
    the images. Where XLA convolves, sums are rounded to the images' dtype first: for a GPU, it
    would widen the factors otherwise, and convolve without the fast units of narrow numbers.
    """
    size, outputs = kernel.shape[0], kernel.shape[-1]
    if size == 1 and groups == 1:
        return jnp.matmul(x[:, ::stride, ::stride], kernel[0, 0], preferred_element_type=sums)
    padding = padding or ((size // 2, size // 2),) * 2
    if groups == 1 and -(-min(x.shape[1:3]) // stride) < size:
        windows = _windows(jnp.pad(x, ((0, 0), *padding, (0, 0))), size, stride)
        return jnp.matmul(windows, kernel.reshape(-1, outputs), preferred_element_type=sums)
    convolved = lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    return convolved.astype(sums or x.dtype)


def _windows(
    x: Float[Array, "batch height width channels"], size: int, stride: int
) -> Float[Array, "batch rows columns values"]:
    """What a kernel sees at each place, in the kernel's order: rows, columns, channels."""
    rows, columns = ((extent - size) // stride + 1 for extent in x.shape[1:3])
    shifted = [
        x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(shifted, axis=-1)


def max_pool(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch rows columns channels"]:
    """Maximum over 3 x 3 windows, stride 2, padding 1, for numbers that are not negative.

    It is the maximum of nine shifted images: the gradient of XLA's windowed maximum is a scatter,
    slow on a CPU.
    """
    rows, columns = ((side - 1) // 2 + 1 for side in x.shape[1:3])
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # Zeros never exceed a ReLU's outputs.
    shifted = [
        padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2]
        for i in range(3)
        for j in range(3)
    ]
    return functools.reduce(jnp.maximum, shifted)
