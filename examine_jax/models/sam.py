"""Segment Anything's image encoder: a frozen configuration and its Linen module.

Source:
    Kirillov et al., arXiv:2304.02643; Li et al., arXiv:2203.16527 (windows in a plain vision
    transformer); Li et al., arXiv:2112.01526 (positions by rows and columns).
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from examine_jax.common.shapes import Array, Float
from examine_jax.models.convolution import Convolution
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.patches import patchify
from examine_jax.models.transformer import Dense, LayerNorm
from examine_jax.models.vit import ComputeDtype
from examine_jax.models.windows import attend_with_bias, cut_windows, join_windows, pad_to_windows

_NECK_EPSILON = 1e-6
_LEAST_RANGE = 1e-8  # of an image's pixels that are stretched
_USUAL_PATCHES = 64 * 14**2
_LARGE = 1 << 10  # places of a map from which attention takes its rows one after another


@dataclasses.dataclass(frozen=True)
class SAMConfig:
    """SAM's image encoder; by default ViT-B.

    Attributes:
        image_size: side of the square input in pixels.
        channels: channels of the input.
        patch_size, width, depth, heads, mlp_width, mlp, qkv_bias: as in ViTConfig.
        window: side of the windows of blocks that are not global. Zeros that fill up windows at the
            border are tokens like others.
        global_blocks: numbers of the blocks, from 0, whose attention covers the whole map.
        pooling: "neck", the mean over the map of the neck, two convolutions with layer norms;
            "mean", the mean of the last block's tokens, without the neck.
        neck: channels of the neck's map.
        absolute_positions: whether learned positions are added to the patches.
        relative_positions: whether each block has positions of rows and columns relative to each
            other.
        pixel_range: "given": pixels are taken as they are; "image": those of each image are first
            stretched to [0, 1] from its least to its greatest (MedSAM).
        layer_norm_epsilon: of the blocks' norms.
        dtype: of the computation; parameters and the residual stream are always float32.
        remat: whether the backward pass computes each block again instead of keeping its
            activations. Saves memory and costs a third more work.
    """

    image_size: int = 1024
    channels: int = 3
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 3072
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    pooling: Literal["neck", "mean"] = "neck"
    neck: int = 256
    mlp: str = "gelu"
    qkv_bias: bool = True
    absolute_positions: bool = True
    relative_positions: bool = True
    pixel_range: Literal["given", "image"] = "given"
    layer_norm_epsilon: float = 1e-6
    dtype: ComputeDtype = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        for field in (
            *("image_size", "channels", "patch_size", "width", "depth", "heads"),
            *("mlp_width", "window", "neck"),
        ):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"SAMConfig: {field} must be at least 1, got {getattr(self, field)}"
                )
        if self.width % self.heads:
            raise ValueError(f"SAMConfig: {self.heads} heads do not divide width {self.width}")
        if self.image_size % self.patch_size:
            raise ValueError(
                f"SAMConfig: image_size {self.image_size} must be a multiple of patch_size "
                f"{self.patch_size}"
            )
        if any(not 0 <= block < self.depth for block in self.global_blocks):
            raise ValueError(
                f"SAMConfig: global_blocks {self.global_blocks} must be numbers from 0 to "
                f"{self.depth - 1}"
            )
        known = [name for name, form in MLP_FORMS.items() if not form.gated]
        for field, choices in (
            ("mlp", known),
            ("pooling", ["neck", "mean"]),
            ("pixel_range", ["given", "image"]),
            ("dtype", ["float32", "bfloat16"]),
        ):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"SAMConfig: {field} must be one of {', '.join(choices)}, got "
                    f"{getattr(self, field)!r}"
                )

    class_token = False
    leading = 0  # tokens before the patches

    @property
    def side(self) -> int:
        """Rows and columns of the map of patches."""
        return self.image_size // self.patch_size

    @property
    def features(self) -> int:
        """Width of the pooled features."""
        return self.neck if self.pooling == "neck" else self.width

    @property
    def images_at_once(self) -> int:
        """How many have as many patches as 64 images of a usual ViT/16 at 224 pixels; from 1."""
        return max(1, _USUAL_PATCHES // self.side**2)

    def attention_side(self, block: int) -> int:
        """Rows and columns of what a block's attention covers."""
        return self.side if block in self.global_blocks else self.window

    def module(self) -> "SAMEncoder":
        return SAMEncoder(self)


class SAMEncoder(nn.Module):
    """Maps images to tokens and features; parameters: patch_embedding, block_<i>, neck."""

    config: SAMConfig

    @nn.compact
    def _run(
        self,
        images: Array,
        layers: tuple[int, ...] = (),
        pooled: bool = False,
        train: bool = False,
    ) -> Any:
        """The last map; with `layers`, those after these blocks; with `pooled`, features.

        Outside training, the patch embedding and what products of a narrower dtype add up to are
        not rounded.
        """
        config, dtype, wide = self.config, jnp.dtype(self.config.dtype), not train
        side, width = config.side, config.width
        images = images.astype(jnp.float32)
        if config.pixel_range == "image":
            images = _stretched(images)
        stem = Dense(width, jnp.float32 if wide else dtype, name="patch_embedding")
        x = stem(patchify(images, config.patch_size))
        x = x.astype(jnp.float32).reshape(-1, side, side, width)
        if config.absolute_positions:
            shape = (side * side, width)
            positions = self.param("positions", nn.initializers.normal(0.02), shape, jnp.float32)
            x = x + positions.reshape(side, side, width)
        block = nn.remat(SAMBlock) if config.remat else SAMBlock
        after = {}
        for i in range(config.depth):
            x = block(config, i, wide, name=f"block_{i}")(x)
            after[i + 1] = x
        if layers:
            return tuple(after[i] for i in layers)
        if not pooled:
            return x
        if config.pooling == "neck":
            x = Neck(config.neck, dtype, wide, name="neck")(x)
        return x.mean(axis=(1, 2))

    def tokens(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch places features"]:
        """The last block's tokens, row by row; the neck is left out."""
        return _flat(self._run(images))

    def layer_tokens(
        self, images: Float[Array, "batch height width channels"], layers: tuple[int, ...]
    ) -> tuple[Float[Array, "batch places features"], ...]:
        """The tokens after these blocks, row by row.

        Args:
            images: with normalised pixels.
            layers: numbers of blocks from 1 to depth.

        Raises:
            ValueError: there is no such block.
        """
        unknown = [layer for layer in layers if not 1 <= layer <= self.config.depth]
        if unknown or not layers:
            raise ValueError(
                f"layers must be numbers from 1 to {self.config.depth}, the number of blocks; got "
                f"{list(layers)}"
            )
        return tuple(_flat(x) for x in self._run(images, layers=layers))

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """The pooled features, float32, of normalised pixels. `train`: what bfloat16 rounds."""
        return self._run(images, pooled=True, train=train)


def _flat(x: Float[Array, "batch rows columns width"]) -> Float[Array, "batch places width"]:
    return x.reshape(x.shape[0], -1, x.shape[-1])


def _stretched(
    images: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
    """Each image's pixels from its least, which becomes 0, to its greatest, which becomes 1."""
    least = images.min(axis=(1, 2, 3), keepdims=True)
    greatest = images.max(axis=(1, 2, 3), keepdims=True)
    return (images - least) / jnp.maximum(greatest - least, _LEAST_RANGE)


class Neck(nn.Module):
    """A 1 x 1 and a 3 x 3 convolution without bias, each followed by a layer norm; float32."""

    outputs: int
    dtype: Any
    wide: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns width"]
    ) -> Float[Array, "batch rows columns outputs"]:
        wide = self.wide
        x = Dense(self.outputs, self.dtype, use_bias=False, wide=wide, name="convolution_1")(x)
        x = LayerNorm(_NECK_EPSILON, name="norm_1")(x.astype(jnp.float32))
        x = Convolution(self.outputs, 3, 1, self.dtype, wide=wide, name="convolution_2")(x)
        return LayerNorm(_NECK_EPSILON, name="norm_2")(x.astype(jnp.float32))


class SAMBlock(nn.Module):
    """x + attention(norm(x)), in windows unless the block is global, then x + mlp(norm(x))."""

    config: SAMConfig
    number: int
    wide: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns width"]
    ) -> Float[Array, "batch rows columns width"]:
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        (rows, columns, width), epsilon = x.shape[1:], config.layer_norm_epsilon
        side = config.attention_side(self.number)
        attention = MapAttention(
            config.heads,
            side,
            config.qkv_bias,
            config.relative_positions,
            dtype,
            self.wide,
            name="attention",
        )
        windows = cut_windows(pad_to_windows(LayerNorm(epsilon, name="norm_1")(x), side), side)
        x = x + join_windows(attention(windows), rows, columns)
        expand = Dense(config.mlp_width, dtype, wide=self.wide, name="expand")
        y = MLP_FORMS[config.mlp](expand(LayerNorm(epsilon, name="norm_2")(x)))
        return x + Dense(width, dtype, wide=self.wide, name="contract")(y).astype(jnp.float32)


class MapAttention(nn.Module):
    """Self-attention within square maps, with positions relative in rows and in columns; float32.

    A query's product with the position of a key's row, and with that of its column, is added to
    their logit.
    """

    heads: int
    side: int
    qkv_bias: bool
    relative_positions: bool
    dtype: Any
    wide: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch maps places width"]
    ) -> Float[Array, "batch maps places width"]:
        width, side = x.shape[-1], self.side
        head = width // self.heads
        qkv = Dense(3 * width, self.dtype, self.qkv_bias, self.wide, name="qkv")
        fused = qkv(x).astype(self.dtype)
        # [batch, maps, heads, places, head]
        shape = (*x.shape[:-1], 3, self.heads, head)
        query, key, value = jnp.moveaxis(fused.reshape(shape), (3, 4), (0, 3))
        tables = None
        if self.relative_positions:
            distance = np.arange(side)[:, None] - np.arange(side)[None, :] + side - 1
            tables = tuple(
                self.param(
                    f"relative_{axis}",
                    nn.initializers.truncated_normal(0.02),
                    (2 * side - 1, head),
                    jnp.float32,
                )[distance].astype(self.dtype)
                for axis in ("rows", "columns")
            )

        def of_rows(part: Array, of_each_row: Array | None) -> Array:
            """Attention of the queries [..., rows, columns, head] of some rows."""
            queries = part.reshape(*part.shape[:3], -1, head)
            if tables is None or of_each_row is None:
                return attend_with_bias(queries, key, value, None)
            wide = jnp.float32
            down = jnp.einsum("bnhrcw,rkw->bnhrck", part, of_each_row, preferred_element_type=wide)
            across = jnp.einsum("bnhrcw,ckw->bnhrck", part, tables[1], preferred_element_type=wide)
            bias = down[..., :, None] + across[..., None, :]
            bias = bias.reshape(*queries.shape[:-1], side * side)
            return attend_with_bias(queries, key, value, bias)

        grid = query.reshape(*query.shape[:3], side, side, head)
        by_row = None if tables is None else tables[0]
        if side * side < _LARGE:
            mixed = of_rows(grid, by_row)
        else:

            @jax.checkpoint
            def one_row(row: tuple[Array, Array | None]) -> Array:
                queries, positions = row
                return of_rows(
                    queries[:, :, :, None], None if positions is None else positions[None]
                )

            parts = lax.map(one_row, (jnp.moveaxis(grid, 3, 0), by_row))
            mixed = jnp.moveaxis(parts, 0, 3).reshape(query.shape)
        mixed = jnp.moveaxis(mixed, 2, 3).reshape(x.shape)
        projection = Dense(width, self.dtype, wide=self.wide, name="projection")
        return projection(mixed).astype(jnp.float32)
