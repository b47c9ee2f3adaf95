"""Residual networks as in torchvision (v1.5): a bottleneck's stride is in its 3 x 3 convolution.

Source:
    He et al., arXiv:1512.03385.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.convolution import Convolution, max_pool
from examine_jax.models.resnet_variant import PLAIN, ResNetVariant
from examine_jax.models.squeeze_excite import SqueezeExcite
from examine_jax.models.staged_network import StagedNetwork, batch_norm, unrounded
from examine_jax.models.vit import ComputeDtype


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """A residual network; by default ResNet-18. ResNet-50: block="bottleneck", depths=(3, 4, 6, 3).

    Attributes:
        image_size: side of the square input in pixels. The network itself accepts any.
        channels: channels of the input.
        block: "basic", two 3 x 3 convolutions; "bottleneck", 1 x 1, 3 x 3 and 1 x 1 with four times
            the width as output.
        depths: blocks of each stage. Each stage but the first halves the sides and doubles the
            width.
        width: channels of the first stage's 3 x 3 convolutions.
        stem: "imagenet", 7 x 7 with stride 2, then a max-pool with stride 2; "small_image", 3 x 3
            with stride 1 and no max-pool (SimCLR's for CIFAR), for small images. It costs 16 times
            the work a pixel.
        zero_init_residual: whether each block starts as the identity, by a zero scale in its last
            batch norm (Goyal et al., arXiv:1706.02677).
        dtype: of the computation; parameters and batch statistics are always float32.
        remat: whether the backward pass computes each block again instead of keeping its
            activations. Saves memory and costs a third more work.
        variant: parts of ResNeXt, wide ResNets, ResNet-D and others; None: a plain ResNet.
    """

    image_size: int
    channels: int
    block: Literal["basic", "bottleneck"] = "basic"
    depths: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    stem: Literal["imagenet", "small_image"] = "imagenet"
    zero_init_residual: bool = True
    dtype: ComputeDtype = "float32"
    remat: bool = False
    variant: ResNetVariant | None = None

    def __post_init__(self) -> None:
        for field in ("image_size", "channels", "width"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"ResNetConfig: {field} must be at least 1, got {getattr(self, field)}"
                )
        if not self.depths or min(self.depths) < 1:
            raise ValueError(
                f"ResNetConfig: depths must be one or more positive numbers, got {self.depths}"
            )
        for field, choices in (
            ("block", ("basic", "bottleneck")),
            ("stem", ("imagenet", "small_image")),
            ("dtype", ("float32", "bfloat16")),
        ):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"ResNetConfig: {field} must be '{choices[0]}' or '{choices[1]}', got "
                    f"{getattr(self, field)!r}"
                )
        parts = self.parts
        if self.block == "basic" and (parts.groups > 1 or parts.inner_width is not None):
            raise ValueError("ResNetConfig: groups and inner_width belong to block='bottleneck'")
        if self.block == "bottleneck" and self.inner_width(0) % parts.groups:
            raise ValueError(
                f"ResNetConfig: groups {parts.groups} do not divide the inner width "
                f"{self.inner_width(0)}"
            )
        if self.stem == "small_image" and parts.deep_stem is not None:
            raise ValueError("ResNetConfig: deep_stem belongs to stem='imagenet'")

    @property
    def parts(self) -> ResNetVariant:
        """`variant`, or a plain ResNet's."""
        return PLAIN if self.variant is None else self.variant

    @property
    def stem_width(self) -> int:
        """Channels that the stem gives."""
        return self.parts.stem_width or self.width

    def inner_width(self, stage: int) -> int:
        """Channels of a stage's 3 x 3 convolutions."""
        return (self.parts.inner_width or self.width) * 2**stage

    @property
    def features(self) -> int:
        """Channels of the last stage: 512 for ResNet-18, 2048 for ResNet-50."""
        return self.width * 2 ** (len(self.depths) - 1) * (4 if self.block == "bottleneck" else 1)

    @property
    def strides(self) -> tuple[int, ...]:
        """Of each stage's map, in pixels."""
        first = 4 if self.stem == "imagenet" else 1
        return tuple(first * 2**stage for stage in range(len(self.depths)))

    @property
    def map_widths(self) -> tuple[int, ...]:
        """Channels of each stage's map."""
        last = len(self.depths) - 1
        return tuple(self.features // 2 ** (last - stage) for stage in range(last + 1))

    def module(self) -> "ResNet":
        return ResNet(self)


class ResidualBlock(nn.Module):
    """relu(x + convolutions(x)), where a 1 x 1 convolution adapts the shape of x if need be."""

    config: ResNetConfig
    stage: int
    stride: int
    train: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns outputs"]:
        config, parts = self.config, self.config.parts
        width, inner = config.width * 2**self.stage, config.inner_width(self.stage)
        # (size, outputs, stride, groups) of each convolution
        if config.block == "basic":
            layers = [(3, width, self.stride, 1), (3, width, 1, 1)]
        else:
            layers = [
                (1, inner, 1, 1),
                (3, inner, self.stride, parts.groups),
                (1, 4 * width, 1, 1),
            ]
        outputs, dtype = layers[-1][1], jnp.dtype(config.dtype)
        exact = unrounded(dtype, self.train)
        y = x
        for i, (size, channels, stride, groups) in enumerate(layers, start=1):
            last = i == len(layers)
            convolution = Convolution(
                channels, size, stride, dtype, groups=groups, wide=not self.train, name=f"conv_{i}"
            )
            y = convolution(y)
            zero = last and config.zero_init_residual
            y = batch_norm(self.train, f"norm_{i}", dtype, zero=zero)(y)
            y = y if last else nn.relu(y)
        if parts.squeeze_excite:
            y = SqueezeExcite(parts.squeezed(outputs), nn.relu, exact, name="squeeze")(y)
        if self.stride != 1 or x.shape[-1] != outputs:
            stride = self.stride
            if parts.average_shortcut and stride == 2:
                x, stride = _average_pool(x), 1
            x = Convolution(outputs, 1, stride, dtype, wide=not self.train, name="shortcut")(x)
            x = batch_norm(self.train, "shortcut_norm", dtype)(x)
        return nn.relu(x + y)


class ResNet(StagedNetwork):
    """Maps images to features."""

    config: ResNetConfig

    @nn.compact
    def stages(self, images: Array, train: bool, frozen_stages: int) -> list[tuple[int, Array]]:
        """As in `StagedNetwork`."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        size, stride = (7, 2) if config.stem == "imagenet" else (3, 1)
        x, live = images, train and not frozen_stages
        exact = unrounded(dtype, live)
        deep = config.parts.deep_stem or ()
        for i, width in enumerate(deep):
            first = Convolution(width, 3, 2 if i == 0 else 1, exact, name=f"stem_{i}")
            x = nn.relu(batch_norm(live, f"stem_{i}_norm", dtype)(first(x)))
        size, step = (3, 1) if deep else (size, stride)
        x = Convolution(config.stem_width, size, step, exact, name="stem")(x)
        x = nn.relu(batch_norm(live, "stem_norm", dtype)(x))
        if config.stem == "imagenet":
            x = max_pool(x)
        block = nn.remat(ResidualBlock) if config.remat else ResidualBlock
        outputs, total = [], stride**2
        for stage, depth in enumerate(config.depths):
            live = train and stage >= frozen_stages
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                x = block(config, stage, stride, live, name=f"stage_{stage}_block_{i}")(x)
            outputs.append((total * 2**stage, x))
        return outputs


def _average_pool(
    x: Float[Array, "batch rows columns channels"],
) -> Float[Array, "batch half_rows half_columns channels"]:
    """Means of 2 x 2 places; at an odd side's end, of those that are there."""
    rows, columns = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (0, rows % 2), (0, columns % 2), (0, 0)))
    half = (-(-rows // 2), -(-columns // 2))
    sums = padded.reshape(x.shape[0], half[0], 2, half[1], 2, x.shape[-1]).sum(axis=(2, 4))
    down = jnp.where(jnp.arange(half[0]) * 2 + 1 < rows, 2, 1)
    across = jnp.where(jnp.arange(half[1]) * 2 + 1 < columns, 2, 1)
    return sums / (down[:, None] * across)[..., None].astype(x.dtype)
