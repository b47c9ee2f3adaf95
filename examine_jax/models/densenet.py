"""DenseNet: a frozen configuration and its Linen module.

Source:
    Huang et al., arXiv:1608.06993 (the bottleneck variant with compression, "BC").
"""

import dataclasses

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.convolution import Convolution, max_pool
from examine_jax.models.staged_network import StagedNetwork, batch_norm, unrounded
from examine_jax.models.vit import ComputeDtype

_STEM = 7  # side of the first convolution


@dataclasses.dataclass(frozen=True)
class DenseNetConfig:
    """A DenseNet; by default DenseNet-121.

    Attributes:
        image_size: side of the square input in pixels. The network itself accepts any.
        channels: channels of the input.
        stem_width: channels of the first convolution.
        depths: layers of each stage. Each stage but the first begins with half the channels and
            half the sides of the one before.
        growth: channels that each layer adds.
        bottleneck: how many times wider a layer's first convolution is than the second, `growth`.
        dtype: of the computation; parameters and batch statistics are always float32.
        remat: whether the backward pass computes each layer again instead of keeping its
            activations. Saves memory and costs a third more work.
    """

    image_size: int
    channels: int = 3
    stem_width: int = 64
    depths: tuple[int, ...] = (6, 12, 24, 16)
    growth: int = 32
    bottleneck: int = 4
    dtype: ComputeDtype = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        for field in ("image_size", "channels", "stem_width", "growth", "bottleneck"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"DenseNetConfig: {field} must be at least 1, got {getattr(self, field)}"
                )
        if not self.depths or min(self.depths) < 1:
            raise ValueError(
                f"DenseNetConfig: depths must be one or more positive numbers, got {self.depths}"
            )
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(
                f"DenseNetConfig: dtype must be 'float32' or 'bfloat16', got {self.dtype!r}"
            )

    @property
    def features(self) -> int:
        """Channels of the last stage: 1024 for DenseNet-121."""
        return self.map_widths[-1]

    @property
    def strides(self) -> tuple[int, ...]:
        """Of each stage's map, in pixels."""
        return tuple(4 * 2**stage for stage in range(len(self.depths)))

    @property
    def map_widths(self) -> tuple[int, ...]:
        """Channels of each stage's map."""
        widths, width = [], 2 * self.stem_width
        for depth in self.depths:
            width = width // 2 + depth * self.growth
            widths.append(width)
        return tuple(widths)

    def module(self) -> "DenseNet":
        return DenseNet(self)


class DenseNet(StagedNetwork):
    """Maps images to features.

    Parameters: stem, stem_norm, stage_<i>_block_<j>, downsample_<i>, norm.
    """

    config: DenseNetConfig

    @nn.compact
    def stages(self, images: Array, train: bool, frozen_stages: int) -> list[tuple[int, Array]]:
        """As in `StagedNetwork`; the last output is normed and rectified."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        live = train and not frozen_stages
        x = Convolution(config.stem_width, _STEM, 2, unrounded(dtype, live), name="stem")(images)
        x = nn.relu(batch_norm(live, "stem_norm", dtype)(x))
        x = max_pool(x)
        layer = nn.remat(DenseLayer) if config.remat else DenseLayer
        outputs = []
        for stage, depth in enumerate(config.depths):
            live = train and stage >= frozen_stages
            if stage > 0:
                x = Transition(config, live, name=f"downsample_{stage}")(x)
            for i in range(depth):
                new = layer(config, live, name=f"stage_{stage}_block_{i}")(x)
                x = jnp.concatenate([x, new], axis=-1)
            outputs.append((config.strides[stage], x))
        x = nn.relu(batch_norm(train, "norm", dtype)(x))
        return [*outputs[:-1], (config.strides[-1], x)]


class DenseLayer(nn.Module):
    """The channels that a layer adds: norm, ReLU, 1 x 1; norm, ReLU, 3 x 3."""

    config: DenseNetConfig
    train: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns channels"]
    ) -> Float[Array, "batch rows columns growth"]:
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        x = nn.relu(batch_norm(self.train, "norm_1", dtype)(x))
        width, wide = config.bottleneck * config.growth, not self.train
        x = Convolution(width, 1, 1, dtype, wide=wide, name="conv_1")(x)
        x = nn.relu(batch_norm(self.train, "norm_2", dtype)(x))
        return Convolution(config.growth, 3, 1, dtype, wide=wide, name="conv_2")(x)


class Transition(nn.Module):
    """Half the channels and half the sides, by means of 2 x 2 places; an odd last is dropped."""

    config: DenseNetConfig
    train: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns half"]:
        dtype = jnp.dtype(self.config.dtype)
        x = nn.relu(batch_norm(self.train, "norm", dtype)(x))
        x = Convolution(x.shape[-1] // 2, 1, 1, dtype, wide=not self.train, name="conv")(x)
        rows, columns = (side // 2 for side in x.shape[1:3])
        x = x[:, : 2 * rows, : 2 * columns]
        return x.reshape(x.shape[0], rows, 2, columns, 2, x.shape[-1]).mean(axis=(2, 4))
