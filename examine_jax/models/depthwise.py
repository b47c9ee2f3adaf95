"""Convolutions of each channel by itself, with a stride and a padding of each side."""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Float
from examine_jax.models.convolution import Padding

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
    if x.shape[1] * x.shape[2] * x.shape[3] < _LARGE:
        return _of_groups(x, kernel, stride, padding)

    def shifted(x: Array, kernel: Array) -> Array:
        return _of_shifted(x, kernel, stride, padding)

    def grouped(x: Array, kernel: Array) -> Array:
        return _of_groups(x, kernel, stride, padding)

    return lax.platform_dependent(x, kernel, cpu=shifted, default=grouped)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _of_shifted(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    size, wide = kernel.shape[0], kernel.astype(jnp.float32)
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = ((extent - size) // stride + 1 for extent in padded.shape[1:3])
    half = -(-rows // 2)

    def of_half(first: Array) -> Array:
        band = lax.dynamic_slice_in_dim(padded, first * stride, stride * (half - 1) + size, axis=1)
        total = jnp.zeros((x.shape[0], half, columns, x.shape[-1]), jnp.float32)
        for i, j in itertools.product(range(size), repeat=2):
            seen = band[
                :,
                i : i + stride * (half - 1) + 1 : stride,
                j : j + stride * (columns - 1) + 1 : stride,
            ]
            total = total + seen.astype(jnp.float32) * wide[i, j, 0]
        return total.astype(x.dtype)

    # A loop, over two halves of the rows, keeps the sum in one program. XLA would cut it up
    # otherwise, and put what is left into that of the norm that follows: a fifth more time.
    upper, lower = lax.map(of_half, jnp.array([0, rows - half]))
    return jnp.concatenate([upper[:, : rows - half], lower], axis=1)


def _forward(
    x: Array, kernel: Array, stride: int, padding: Padding
) -> tuple[Array, tuple[Array, Array]]:
    return _of_shifted(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: Padding, residuals: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    """The gradients of the images and of the kernel."""
    x, kernel = residuals
    size = kernel.shape[0]
    # The gradient at stride 1: zeros between its places, and where the stride leaves a rest.
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    spread = [
        (0, extent - size - stride * (places - 1), stride - 1)
        for extent, places in zip(padded.shape[1:3], gradient.shape[1:3])
    ]
    spread_out = lax.pad(gradient, jnp.zeros((), gradient.dtype), ((0, 0, 0), *spread, (0, 0, 0)))
    rows, columns = ((size - 1 - before, size - 1 - after) for before, after in padding)
    of_images = _of_shifted(spread_out, kernel[::-1, ::-1], 1, (rows, columns))
    wide = gradient.astype(jnp.float32)
    extents = (stride * (places - 1) + 1 for places in gradient.shape[1:3])
    window = (x.shape[0], *extents, x.shape[-1])

    def of_place(place: Array) -> Array:
        seen = lax.dynamic_slice(padded, (0, place // size, place % size, 0), window)
        return (seen[:, ::stride, ::stride].astype(jnp.float32) * wide).sum(axis=(0, 1, 2))

    # One place of the kernel at a time: XLA would keep what each of them sees.
    of_kernel = lax.map(of_place, jnp.arange(size * size))
    return of_images, of_kernel.reshape(kernel.shape).astype(kernel.dtype)


_of_shifted.defvjp(_forward, _backward)


def _of_groups(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )
