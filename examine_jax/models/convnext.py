"""ConvNeXt and ConvNeXt V2: a frozen configuration and its Linen module.

Source:
    Liu et al., arXiv:2201.03545; Woo et al., arXiv:2301.00808 (global response norm).
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.depthwise import depthwise
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.transformer import Dense, LayerNorm
from examine_jax.models.vit import ComputeDtype

_KERNEL = 7
_RESPONSE_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class ConvNeXtConfig:
    """A ConvNeXt; by default ConvNeXt-T. ConvNeXt-B: (3, 3, 27, 3) and (128, 256, 512, 1024).

    Attributes:
        image_size: side of the square input in pixels. The network itself accepts any.
        channels: channels of the input.
        depths, widths: blocks and channels of each stage. Each stage but the first halves the
            sides.
        patch_size: side and stride of the first convolution.
        mlp: the activation within a block, one of MLP_FORMS without a gate.
        layer_scale: initial value of a learned factor for each channel of a block's branch; None:
            no factor.
        response_norm: whether a global response norm follows the activation (V2).
        layer_norm_epsilon: of all layer norms but the last.
        head_epsilon: of the layer norm after the pooling.
        dtype: of the computation; parameters are always float32.
        remat: whether the backward pass computes each block again instead of keeping its
            activations. Saves memory and costs a third more work.
    """

    image_size: int
    channels: int = 3
    depths: tuple[int, ...] = (3, 3, 9, 3)
    widths: tuple[int, ...] = (96, 192, 384, 768)
    patch_size: int = 4
    mlp: str = "gelu"
    layer_scale: float | None = 1e-6
    response_norm: bool = False
    layer_norm_epsilon: float = 1e-6
    head_epsilon: float = 1e-6
    dtype: ComputeDtype = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        for field in ("image_size", "channels", "patch_size"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"ConvNeXtConfig: {field} must be at least 1, got {getattr(self, field)}"
                )
        if not self.depths or len(self.depths) != len(self.widths):
            raise ValueError(
                f"ConvNeXtConfig: depths {self.depths} and widths {self.widths} must have one "
                "number for each stage"
            )
        if min(*self.depths, *self.widths) < 1:
            raise ValueError(
                f"ConvNeXtConfig: depths {self.depths} and widths {self.widths} must be positive"
            )
        if self.image_size < self.strides[-1]:
            raise ValueError(
                f"ConvNeXtConfig: image_size {self.image_size} is smaller than the last stage's "
                f"stride {self.strides[-1]}"
            )
        known = [name for name, form in MLP_FORMS.items() if not form.gated]
        for field, choices in (("mlp", known), ("dtype", ["float32", "bfloat16"])):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"ConvNeXtConfig: {field} must be one of {', '.join(choices)}, got "
                    f"{getattr(self, field)!r}"
                )

    @property
    def strides(self) -> tuple[int, ...]:
        """Of each stage's map, in pixels."""
        return tuple(self.patch_size * 2**stage for stage in range(len(self.depths)))

    @property
    def map_widths(self) -> tuple[int, ...]:
        """Channels of each stage's map."""
        return self.widths

    @property
    def features(self) -> int:
        """Channels of the last stage: 768 for ConvNeXt-T, 1024 for ConvNeXt-B."""
        return self.widths[-1]

    def module(self) -> "ConvNeXt":
        return ConvNeXt(self)


class ConvNeXt(nn.Module):
    """Maps images to features; parameters: stem, downsample_<i>, stage_<i>_block_<j>, norm."""

    config: ConvNeXtConfig

    @nn.compact
    def _run(self, images: Array, pooled: bool, train: bool = False) -> Any:
        """The features, or (stride, map) of each stage.

        Outside training, the first convolution, depthwise convolutions and what products of a
        narrower dtype add up to are not rounded.
        """
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        wide = not train
        x, size = images, config.patch_size
        block = nn.remat(ConvNeXtBlock) if config.remat else ConvNeXtBlock
        maps, stride = [], 1
        for stage, (depth, width) in enumerate(zip(config.depths, config.widths)):
            if stage == 0:
                stem = Patches(width, size, jnp.float32 if wide else dtype, name="stem")
                x = stem(x).astype(jnp.float32)
                x = LayerNorm(config.layer_norm_epsilon, name="stem_norm")(x)
            else:
                size = 2
                x = LayerNorm(config.layer_norm_epsilon, name=f"downsample_{stage}_norm")(x)
                patches = Patches(width, size, dtype, wide, name=f"downsample_{stage}")
                x = patches(x).astype(jnp.float32)
            stride *= size
            for i in range(depth):
                x = block(config, width, wide, name=f"stage_{stage}_block_{i}")(x)
            maps.append((stride, x))
        if not pooled:
            return [(stride, x.astype(dtype)) for stride, x in maps]
        mean = x.mean(axis=(1, 2))
        return LayerNorm(config.head_epsilon, name="norm")(mean)

    def feature_maps(
        self,
        images: Float[Array, "batch height width channels"],
        *,
        train: bool = False,
        frozen_stages: int = 0,
    ) -> dict[int, Float[Array, "batch rows columns _"]]:
        """The output of each stage by its stride; `frozen_stages` changes nothing."""
        return dict(self._run(images, False, train))

    def tokens(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch places features"]:
        """The places of the last map, row by row, before the final norm."""
        last = self._run(images, pooled=False)[-1][1]
        return last.reshape(last.shape[0], -1, last.shape[-1])

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """The layer norm of the last map's mean, float32. `train`: what is rounded in bfloat16."""
        return self._run(images, True, train)


class Patches(nn.Module):
    """A convolution with bias whose windows do not overlap: one matrix product.

    `dtype` and `wide` are those of `Dense`.
    """

    outputs: int
    size: int
    dtype: Any
    wide: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns outputs"]:
        batch, height, width, channels = x.shape
        rows, columns, size = height // self.size, width // self.size, self.size
        x = x[:, : rows * size, : columns * size]
        x = x.reshape(batch, rows, size, columns, size, channels).transpose(0, 1, 3, 2, 4, 5)
        values = x.reshape(batch, rows, columns, size * size * channels)
        return Dense(self.outputs, self.dtype, wide=self.wide, name="convolution")(values)


class ConvNeXtBlock(nn.Module):
    """x + scale * mlp(norm(depthwise convolution(x)))."""

    config: ConvNeXtConfig
    width: int
    wide: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns width"]
    ) -> Float[Array, "batch rows columns width"]:
        config, dtype, width = self.config, jnp.dtype(self.config.dtype), self.width
        kernel = self.param(
            "kernel",
            nn.initializers.truncated_normal(0.02),
            (_KERNEL, _KERNEL, 1, width),
            jnp.float32,
        )
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        exact = jnp.dtype(jnp.float32) if self.wide else dtype
        y = depthwise(x.astype(exact), kernel.astype(exact)) + bias.astype(exact)
        y = LayerNorm(config.layer_norm_epsilon, name="norm")(y)
        y = MLP_FORMS[config.mlp](Dense(4 * width, dtype, wide=self.wide, name="expand")(y))
        if config.response_norm:
            y = ResponseNorm(name="response_norm")(y)
        y = Dense(width, dtype, wide=self.wide, name="contract")(y)
        if config.layer_scale is not None:
            initialiser = nn.initializers.constant(config.layer_scale)
            y = y * self.param("scale", initialiser, (width,), jnp.float32).astype(exact)
        return x + y  # in float32, also where the branches are not


class ResponseNorm(nn.Module):
    """Global response norm: channels by their length over an image, relative to their mean."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns width"]
    ) -> Float[Array, "batch rows columns width"]:
        scale = self.param("scale", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        wide = x.astype(jnp.float32)
        length = jnp.sqrt(jnp.square(wide).sum(axis=(1, 2), keepdims=True))
        relative = length / (length.mean(axis=-1, keepdims=True) + _RESPONSE_EPSILON)
        return (wide + scale * (wide * relative) + bias).astype(x.dtype)
