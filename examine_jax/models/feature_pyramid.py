"""A feature pyramid network: maps of all strides with the same channels.

Source:
    Lin et al., arXiv:1612.03144.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.convolution import convolve


class BiasedConvolution(nn.Module):
    """A square convolution with bias, stride 1, padded by half its size.

    Attributes:
        outputs: channels.
        size: of the kernel.
        initialiser: of the kernel; the bias starts at 0.
        dtype: of the computation.
    """

    outputs: int
    size: int
    initialiser: Any
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width outputs"]:
        shape = (self.size, self.size, x.shape[-1], self.outputs)
        kernel = self.param("kernel", self.initialiser, shape, jnp.float32).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.outputs,), jnp.float32)
        return convolve(x.astype(self.dtype), kernel) + bias.astype(self.dtype)


class FeaturePyramid(nn.Module):
    """Adds to each map the coarser ones, from the coarsest to the finest.

    Parameters are named by the stride of their map: lateral_8, output_8.

    Attributes:
        channels: of the outputs.
        strides: of the outputs, ascending, each twice the one before. Those without an input map
            take every second place of the map before them: torchvision's "pool".
        dtype: of the computation.
    """

    channels: int
    strides: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, maps: Mapping[int, Float[Array, "batch _ _ _"]]
    ) -> tuple[Float[Array, "batch _ _ channels"], ...]:
        """The pyramid's maps, one for each stride, from the encoder's maps by stride."""
        # torch's kaiming_uniform_ with a = 1
        uniform = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        merged: dict[int, Array] = {}
        above: Array | None = None
        for stride in reversed([stride for stride in self.strides if stride in maps]):
            lateral = BiasedConvolution(
                self.channels, 1, uniform, self.dtype, name=f"lateral_{stride}"
            )(maps[stride])
            if above is not None:
                lateral = lateral + nearest(above, *lateral.shape[1:3])
            merged[stride] = above = lateral
        outputs: list[Array] = []
        for stride in self.strides:
            if stride in merged:
                convolution = BiasedConvolution(
                    self.channels, 3, uniform, self.dtype, name=f"output_{stride}"
                )
                outputs.append(convolution(merged[stride]))
            else:
                outputs.append(outputs[-1][:, ::2, ::2])
        return tuple(outputs)


def nearest(
    x: Float[Array, "batch _ _ channels"], height: int, width: int
) -> Float[Array, "batch height width channels"]:
    """The map enlarged to any sides: place i shows floor(i * old / new), as torch's nearest."""
    rows, columns = x.shape[1:3]
    if height == 2 * rows and width == 2 * columns:
        pairs = jnp.broadcast_to(
            x[:, :, None, :, None, :], (len(x), rows, 2, columns, 2, x.shape[-1])
        )
        return pairs.reshape(len(x), height, width, x.shape[-1])
    down = jnp.arange(height) * rows // height
    across = jnp.arange(width) * columns // width
    return x[:, down][:, :, across]
