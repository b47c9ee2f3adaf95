"""Swin transformers: a frozen configuration and its Linen module.

Source:
    Liu et al., arXiv:2103.14030; the convolutional stem: Wang et al., Medical Image Analysis 81
    (2022) 102559 (CTransPath).
"""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.convnext import Patches
from examine_jax.models.convolution import Convolution
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.transformer import Dense, LayerNorm
from examine_jax.models.vit import ComputeDtype
from examine_jax.models.windows import (
    attend_with_bias,
    cut_windows,
    join_windows,
    pad_to_windows,
    relative_positions,
    shifted_regions,
)

_EPSILON = 1e-5  # of the norms of the stem and of mergings, in all libraries
_MASKED = -100.0  # added to logits between places that are not neighbours


@dataclasses.dataclass(frozen=True)
class SwinConfig:
    """A Swin transformer; by default Swin-T. Swin-B: width 128, depths (2, 2, 18, 2).

    Attributes:
        image_size: side of the square input in pixels. The network itself accepts any multiple of
            the patches, unless it has absolute positions.
        channels: channels of the input.
        depths, heads, windows: blocks, attention heads and side of the windows of each stage. Each
            stage but the first halves the sides and doubles the width. Every second block's windows
            are shifted by half their side, unless one window is the whole map.
        width: channels of the first stage.
        patch_size: side of the patches.
        stem: "patches", one convolution whose windows do not overlap; "convolutions", two 3 x 3
            convolutions with stride 2, batch norm and ReLU, then a 1 x 1 convolution, for patches
            of 4 (CTransPath).
        mlp_ratio: how many times a block's MLP is wider than the block.
        mlp: its activation, one of MLP_FORMS without a gate.
        qkv_bias: whether queries, keys and values have biases.
        absolute_positions: whether learned positions are added to the patches.
        pads_first: where windows do not divide a map, zeros are appended before the map is shifted
            (transformers), or after it (timm).
        layer_norm_epsilon: of the blocks' norms and of the last one.
        dtype: of the computation; parameters and the residual stream are always float32.
        remat: whether the backward pass computes each block again instead of keeping its
            activations. Saves memory and costs a third more work.
    """

    image_size: int
    channels: int = 3
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    windows: tuple[int, ...] = (7, 7, 7, 7)
    width: int = 96
    patch_size: int = 4
    stem: Literal["patches", "convolutions"] = "patches"
    mlp_ratio: float = 4.0
    mlp: str = "gelu"
    qkv_bias: bool = True
    absolute_positions: bool = False
    pads_first: bool = False
    layer_norm_epsilon: float = 1e-5
    dtype: ComputeDtype = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        for field in ("image_size", "channels", "width", "patch_size"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"SwinConfig: {field} must be at least 1, got {getattr(self, field)}"
                )
        stages = {len(self.depths), len(self.heads), len(self.windows)}
        if not self.depths or len(stages) > 1:
            raise ValueError(
                f"SwinConfig: depths {self.depths}, heads {self.heads} and windows {self.windows} "
                "must have one number for each stage"
            )
        if min(*self.depths, *self.heads, *self.windows) < 1:
            raise ValueError(
                f"SwinConfig: depths {self.depths}, heads {self.heads} and windows {self.windows} "
                "must be positive"
            )
        for width, heads in zip(self.map_widths, self.heads):
            if width % heads:
                raise ValueError(
                    f"SwinConfig: {heads} heads do not divide a stage's width of {width}"
                )
        if self.mlp_ratio * self.width < 1:
            raise ValueError(f"SwinConfig: mlp_ratio {self.mlp_ratio} leaves no MLP")
        known = [name for name, form in MLP_FORMS.items() if not form.gated]
        for field, choices in (
            ("mlp", known),
            ("stem", ["patches", "convolutions"]),
            ("dtype", ["float32", "bfloat16"]),
        ):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"SwinConfig: {field} must be one of {', '.join(choices)}, got "
                    f"{getattr(self, field)!r}"
                )
        if self.stem == "convolutions" and (self.patch_size != 4 or self.width % 8):
            raise ValueError(
                "SwinConfig: stem='convolutions' needs a patch_size of 4 and a width that is a "
                f"multiple of 8, got {self.patch_size} and {self.width}"
            )
        if self.image_size % self.patch_size:
            raise ValueError(
                f"SwinConfig: image_size {self.image_size} must be a multiple of patch_size "
                f"{self.patch_size}"
            )
        for stage, (side, window) in enumerate(zip(self.sides, self.windows)):
            if side < window:
                least = self.patch_size * max(
                    2**i * (other - 1) + 1 for i, other in enumerate(self.windows)
                )
                raise ValueError(
                    f"SwinConfig: at image_size {self.image_size}, the map of stage {stage + 1} is "
                    f"{side} x {side}, smaller than its window of {window}; take at least {least}"
                )

    @property
    def strides(self) -> tuple[int, ...]:
        """Of each stage's map, in pixels."""
        return tuple(self.patch_size * 2**stage for stage in range(len(self.depths)))

    @property
    def sides(self) -> tuple[int, ...]:
        """Rows and columns of each stage's map."""
        return tuple(-(-self.image_size // stride) for stride in self.strides)

    @property
    def map_widths(self) -> tuple[int, ...]:
        """Channels of each stage's map."""
        return tuple(self.width * 2**stage for stage in range(len(self.depths)))

    @property
    def features(self) -> int:
        """Channels of the last stage: 768 for Swin-T, 1024 for Swin-B."""
        return self.map_widths[-1]

    def module(self) -> "Swin":
        return Swin(self)


class Swin(nn.Module):
    """Maps images to features; parameters: stem…, merge_<i>…, stage_<i>_block_<j>, norm."""

    config: SwinConfig

    @nn.compact
    def _run(self, images: Array, train: bool, frozen_stages: int = 0) -> list[tuple[int, Array]]:
        """(stride, map) of each stage, float32, the last one after the final norm.

        Outside training, the stem and what products of a narrower dtype add up to are not rounded.
        """
        config, dtype, wide = self.config, jnp.dtype(self.config.dtype), not train
        x = self._stem(images, train and not frozen_stages)
        block = nn.remat(SwinBlock) if config.remat else SwinBlock
        maps = []
        for stage, (depth, width) in enumerate(zip(config.depths, config.map_widths)):
            if stage > 0:
                x = LayerNorm(_EPSILON, name=f"merge_{stage}_norm")(_merged(x))
                merge = Dense(width, dtype, use_bias=False, wide=wide, name=f"merge_{stage}")
                x = merge(x).astype(jnp.float32)
            for i in range(depth):
                x = block(config, stage, bool(i % 2), wide, name=f"stage_{stage}_block_{i}")(x)
            maps.append((config.strides[stage], x))
        stride, last = maps.pop()
        return [*maps, (stride, LayerNorm(config.layer_norm_epsilon, name="norm")(last))]

    def _stem(self, images: Array, train: bool) -> Array:
        config, dtype = self.config, jnp.dtype(self.config.dtype if train else jnp.float32)
        if config.stem == "patches":
            x = Patches(config.width, config.patch_size, dtype, name="stem")(images)
        else:
            x = images
            for i in (0, 1):
                width = config.width // 8 * 2**i
                x = Convolution(width, 3, 2, dtype, name=f"stem_convolution_{i}")(x)
                x = nn.relu(
                    nn.BatchNorm(
                        use_running_average=not train,
                        momentum=0.9,
                        epsilon=_EPSILON,
                        dtype=dtype,
                        name=f"stem_batch_norm_{i}",
                    )(x)
                )
            x = Dense(config.width, dtype, name="stem")(x)
        x = LayerNorm(_EPSILON, name="stem_norm")(x.astype(jnp.float32))
        if config.absolute_positions:
            side = config.sides[0]
            shape = (side * side, config.width)
            positions = self.param("positions", nn.initializers.normal(0.02), shape, jnp.float32)
            x = x + positions.reshape(side, side, config.width)
        return x

    def feature_maps(
        self,
        images: Float[Array, "batch height width channels"],
        *,
        train: bool = False,
        frozen_stages: int = 0,
    ) -> dict[int, Float[Array, "batch rows columns _"]]:
        """The output of each stage by its stride, the last one after the final norm.

        Args:
            images: normalised pixels.
            train: whether the batch norms of a convolutional stem use the batch's statistics, and
                what bfloat16 rounds.
            frozen_stages: from 1 on, the stem is as without `train`.
        """
        maps = self._run(images, train, frozen_stages)
        return {stride: x.astype(jnp.dtype(self.config.dtype)) for stride, x in maps}

    def tokens(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch places features"]:
        """The places of the last map, row by row, after the final norm."""
        last = self._run(images, train=False)[-1][1]
        return last.reshape(last.shape[0], -1, last.shape[-1])

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """The mean of the last map after the final norm, float32."""
        return self._run(images, train)[-1][1].mean(axis=(1, 2))


def _merged(
    x: Float[Array, "batch rows columns width"],
) -> Float[Array, "batch halves half_columns merged"]:
    """Four neighbours side by side: upper left, lower left, upper right, lower right."""
    x = pad_to_windows(x, 2)
    batch, rows, columns, width = x.shape
    x = x.reshape(batch, rows // 2, 2, columns // 2, 2, width).transpose(0, 1, 3, 4, 2, 5)
    return x.reshape(batch, rows // 2, columns // 2, 4 * width)


class SwinBlock(nn.Module):
    """x + attention in windows(norm(x)), then x + mlp(norm(x)); `shifted`: as SwinConfig says."""

    config: SwinConfig
    stage: int
    shifted: bool
    wide: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns width"]
    ) -> Float[Array, "batch rows columns width"]:
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        width, epsilon = x.shape[-1], config.layer_norm_epsilon
        attention = WindowAttention(
            config.heads[self.stage],
            config.windows[self.stage],
            self.shifted,
            config.pads_first,
            config.qkv_bias,
            dtype,
            self.wide,
            name="attention",
        )
        x = x + attention(LayerNorm(epsilon, name="norm_1")(x))
        y = LayerNorm(epsilon, name="norm_2")(x)
        expand = Dense(int(config.mlp_ratio * width), dtype, wide=self.wide, name="expand")
        y = MLP_FORMS[config.mlp](expand(y))
        return x + Dense(width, dtype, wide=self.wide, name="contract")(y).astype(jnp.float32)


class WindowAttention(nn.Module):
    """Self-attention within the windows of a map, with a learned bias for relative positions."""

    heads: int
    window: int
    shifted: bool
    pads_first: bool
    qkv_bias: bool
    dtype: Any
    wide: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns width"]
    ) -> Float[Array, "batch rows columns width"]:
        (rows, columns, width), window = x.shape[1:], self.window
        shifts = tuple(
            window // 2 if self.shifted and side > window else 0 for side in (rows, columns)
        )
        if self.pads_first:
            x = pad_to_windows(x, window)
        padded = x.shape[1:3]
        if any(shifts):
            x = jnp.roll(x, (-shifts[0], -shifts[1]), axis=(1, 2))
        if not self.pads_first:
            x = pad_to_windows(x, window)
        sides = x.shape[1:3]

        # The bias is added before the rounding that the products of queries and keys need.
        qkv = Dense(3 * width, self.dtype, self.qkv_bias, self.wide, name="qkv")
        fused = qkv(cut_windows(x, window)).astype(self.dtype)
        shape = (*fused.shape[:-1], 3, self.heads, width // self.heads)
        query, key, value = jnp.moveaxis(fused.reshape(shape), (3, 4), (0, 3))
        table = self.param(
            "relative_positions",
            nn.initializers.truncated_normal(0.02),
            ((2 * window - 1) ** 2, self.heads),
            jnp.float32,
        )
        # Weights may be kept in half precision; sums of them may not.
        bias = table.astype(jnp.float32)[relative_positions(window)].transpose(2, 0, 1)[None]
        if any(shifts):
            regions = jnp.asarray(shifted_regions(sides, window, shifts))
            apart = regions[:, None, :, None] != regions[:, None, None, :]
            bias = bias + jnp.where(apart, _MASKED, 0.0)
        mixed = attend_with_bias(query, key, value, bias)
        mixed = jnp.moveaxis(mixed, 2, 3).reshape(*fused.shape[:-1], width)
        projection = Dense(width, self.dtype, wide=self.wide, name="projection")
        mixed = projection(mixed).astype(jnp.float32)

        x = join_windows(mixed, *(padded if self.pads_first else (rows, columns)))
        if any(shifts):
            x = jnp.roll(x, (shifts[0], shifts[1]), axis=(1, 2))
        return x[:, :rows, :columns]
