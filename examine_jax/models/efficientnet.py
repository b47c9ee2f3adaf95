"""EfficientNet and EfficientNet-Lite: a frozen configuration and its Linen module.

Source:
    Tan and Le, arXiv:1905.11946.
"""

import dataclasses
import functools
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.convolution import Convolution, Padding
from examine_jax.models.depthwise import depthwise
from examine_jax.models.squeeze_excite import SqueezeExcite
from examine_jax.models.staged_network import StagedNetwork, batch_norm, unrounded
from examine_jax.models.vit import ComputeDtype

ACTIVATIONS = {"silu": jax.nn.silu, "relu": jax.nn.relu, "relu6": jax.nn.relu6}
_STEM = 3  # side of the first convolution
_FEW = 32  # channels below which a convolution of size 1 is little work


@dataclasses.dataclass(frozen=True)
class EfficientNetConfig:
    """An EfficientNet; by default B0 as TensorFlow trains it.

    EfficientNet-Lite0: squeeze=None, activation="relu6".

    Attributes:
        image_size: side of the square input in pixels. The network itself accepts any.
        channels: channels of the input.
        stem_width: channels of the first convolution, which halves the sides.
        depths, widths, kernels, expansions, stage_strides: of each stage: its blocks, their
            outputs' channels, the side of their depthwise convolutions, how many times these are
            wider than the blocks' inputs, and the stride of the first block.
        head_width: channels of the last convolution, whose mean is the feature.
        squeeze: the width of a block's squeezed channels over the width of its input; None: no
            squeeze and excitation.
        activation: "silu", "relu" or "relu6".
        padding: how a convolution with a stride is padded. "same": as TensorFlow does it, by an
            image's size; "half": by half the kernel's size on each side (PyTorch); "after": by one
            less before the image than after it.
        symmetric_blocks: with padding="after", numbers of blocks, from 0 over all stages, that are
            padded by half the kernel's size nevertheless.
        batch_norm_epsilon: of all batch norms.
        dtype: of the computation; parameters and batch statistics are always float32.
        remat: whether the backward pass computes each block again instead of keeping its
            activations. Saves memory and costs a third more work.
    """

    image_size: int
    channels: int = 3
    stem_width: int = 32
    depths: tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
    widths: tuple[int, ...] = (16, 24, 40, 80, 112, 192, 320)
    kernels: tuple[int, ...] = (3, 3, 5, 3, 5, 5, 3)
    expansions: tuple[int, ...] = (1, 6, 6, 6, 6, 6, 6)
    stage_strides: tuple[int, ...] = (1, 2, 2, 2, 1, 2, 1)
    head_width: int = 1280
    squeeze: float | None = 0.25
    activation: Literal["silu", "relu", "relu6"] = "silu"
    padding: Literal["same", "half", "after"] = "same"
    symmetric_blocks: tuple[int, ...] = ()
    batch_norm_epsilon: float = 1e-3
    dtype: ComputeDtype = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        for field in ("image_size", "channels", "stem_width", "head_width"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"EfficientNetConfig: {field} must be at least 1, got {getattr(self, field)}"
                )
        for field in ("widths", "kernels", "expansions", "stage_strides"):
            values = getattr(self, field)
            if not self.depths or len(values) != len(self.depths):
                raise ValueError(
                    f"EfficientNetConfig: depths {self.depths} and {field} {values} must have one "
                    "number for each stage"
                )
            if min(*self.depths, *values) < 1:
                raise ValueError(
                    f"EfficientNetConfig: depths {self.depths} and {field} {values} must be "
                    "positive"
                )
        if any(kernel % 2 == 0 for kernel in self.kernels) or max(self.stage_strides) > 2:
            raise ValueError(
                f"EfficientNetConfig: kernels {self.kernels} must be odd, and stage_strides "
                f"{self.stage_strides} 1 or 2"
            )
        for field, choices in (
            ("activation", tuple(ACTIVATIONS)),
            ("padding", ("same", "half", "after")),
            ("dtype", ("float32", "bfloat16")),
        ):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"EfficientNetConfig: {field} must be one of {', '.join(choices)}, got "
                    f"{getattr(self, field)!r}"
                )
        if (self.squeeze is not None and not self.squeeze > 0) or not self.batch_norm_epsilon > 0:
            raise ValueError(
                f"EfficientNetConfig: squeeze {self.squeeze} and batch_norm_epsilon "
                f"{self.batch_norm_epsilon} must be positive"
            )

    @property
    def features(self) -> int:
        """Channels of the last convolution: 1280 for B0."""
        return self.head_width

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the maps that `EfficientNet.feature_maps` gives, in pixels."""
        return tuple(sorted(set(self._stage_scales)))

    @property
    def map_widths(self) -> tuple[int, ...]:
        """Channels of these maps."""
        last = dict(zip(self._stage_scales, self.widths))
        return (*(last[stride] for stride in self.strides[:-1]), self.head_width)

    @property
    def _stage_scales(self) -> tuple[int, ...]:
        scales, scale = [], 2
        for stride in self.stage_strides:
            scale *= stride
            scales.append(scale)
        return tuple(scales)

    def padded(self, shape: tuple[int, int], size: int, stride: int, symmetric: bool) -> Padding:
        """Zeros before and after an image's rows and columns, for a convolution.

        Args:
            shape: the image's rows and columns.
            size, stride: of the convolution.
            symmetric: whether the convolution is one of `symmetric_blocks`.
        """
        half = size // 2
        if self.padding == "half" or stride == 1 or (self.padding == "after" and symmetric):
            return (half, half), (half, half)
        if self.padding == "after":
            return (half - 1, half), (half - 1, half)
        missing = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in shape]
        rows, columns = ((number // 2, number - number // 2) for number in missing)
        return rows, columns

    def module(self) -> "EfficientNet":
        return EfficientNet(self)


class EfficientNet(StagedNetwork):
    """Maps images to features; parameters: stem, stage_<i>_block_<j>, head, each with its norm."""

    config: EfficientNetConfig

    @nn.compact
    def stages(self, images: Array, train: bool, frozen_stages: int) -> list[tuple[int, Array]]:
        """(stride, output) of each stage; the head follows the last one."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        norm = functools.partial(batch_norm, dtype=dtype, epsilon=config.batch_norm_epsilon)
        activation = ACTIVATIONS[config.activation]
        padding = config.padded(cast(Any, images.shape[1:3]), _STEM, 2, symmetric=False)
        live = train and not frozen_stages
        stem_dtype = unrounded(dtype, live)
        x = Convolution(config.stem_width, _STEM, 2, stem_dtype, padding, name="stem")(images)
        x = activation(norm(live, "stem_norm")(x))
        block = nn.remat(InvertedResidual) if config.remat else InvertedResidual
        outputs, scale, number = [], 2, 0
        for stage, depth in enumerate(config.depths):
            live = train and stage >= frozen_stages
            for i in range(depth):
                stride = config.stage_strides[stage] if i == 0 else 1
                symmetric = number in config.symmetric_blocks
                x = block(config, stage, stride, symmetric, live, name=f"stage_{stage}_block_{i}")(
                    x
                )
                number += 1
            scale *= config.stage_strides[stage]
            outputs.append((scale, x))
        x = Convolution(config.head_width, 1, 1, dtype, wide=not train, name="head")(x)
        x = activation(norm(train, "head_norm")(x))
        return [*outputs[:-1], (scale, x)]


class InvertedResidual(nn.Module):
    """MBConv: a wide depthwise convolution between two of size 1, the second without activation.

    Its input is added where the shapes are equal. Depthwise kernels are differences of near pixels,
    and the second convolution's outputs are narrow and far from zero before their norm: outside
    training, neither is rounded, nor is the first convolution where its inputs are few.
    """

    config: EfficientNetConfig
    stage: int
    stride: int
    symmetric: bool
    train: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns outputs"]:
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        norm = functools.partial(batch_norm, dtype=dtype, epsilon=config.batch_norm_epsilon)
        activation, inputs = ACTIVATIONS[config.activation], x.shape[-1]
        size, expansion = config.kernels[self.stage], config.expansions[self.stage]
        outputs, y = config.widths[self.stage], x
        exact = unrounded(dtype, self.train)
        if expansion > 1:
            own = exact if inputs < _FEW else dtype
            wide = not self.train
            y = Convolution(expansion * inputs, 1, 1, own, wide=wide, name="expand")(y)
            y = activation(norm(self.train, "expand_norm")(y))
        kernel = self.param(
            "depthwise",
            nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
            (size, size, 1, expansion * inputs),
            jnp.float32,
        )
        padding = config.padded(cast(Any, y.shape[1:3]), size, self.stride, self.symmetric)
        y = depthwise(y.astype(exact), kernel.astype(exact), self.stride, padding)
        y = activation(norm(self.train, "depthwise_norm")(y))
        if config.squeeze is not None:
            hidden = max(1, int(inputs * config.squeeze))
            y = SqueezeExcite(hidden, activation, exact, name="squeeze")(y)
        y = Convolution(outputs, 1, 1, exact, name="project")(y)
        y = norm(self.train, "project_norm")(y)
        return x + y if self.stride == 1 and inputs == outputs else y
