"""The vision transformer: a frozen configuration and its Linen module."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float, Int
from examine_jax.models.patches import patchify
from examine_jax.models.positions import sincos_positions
from examine_jax.models.transformer import Dense, LayerNorm, block_type

Pooling = Literal["mean", "class_token"]
ComputeDtype = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class ViTConfig:
    """A vision transformer.

    Attributes:
        image_size: side of the square input in pixels.
        patch_size: side of a square patch; divides image_size.
        channels: channels of the input.
        width, depth, heads, mlp_width: of the transformer; heads divides width, 4 divides width.
        class_token: whether a learned token precedes the patches.
        pooling: the features: the mean of the patch tokens, or the class token.
        final_norm: whether the encoder ends with a layer norm (facebookresearch/mae). Without it
            (vit-pytorch in 2022) tokens keep their lengths, and features depend more on an image's
            contrast.
        layer_norm_epsilon: 1e-6 as in facebookresearch/mae.
        dtype: of the computation; parameters are always float32.
        positions: "sincos", fixed (facebookresearch/mae); "learned", one parameter vector a patch,
            initialised as normal(0.02).
        qkv_bias: whether queries, keys and values have a bias.
        mlp: "gelu", two dense layers around the exact GELU; "swiglu", silu(a) * b between them, a
            and b each mlp_width wide.
        layer_scale: initial value of a learned factor for each channel of a block's branches; None:
            no factor.
        remat: whether the backward pass computes each block again instead of keeping its
            activations. Saves memory and costs a third more work.
    """

    image_size: int
    patch_size: int
    channels: int
    width: int
    depth: int
    heads: int
    mlp_width: int
    class_token: bool = True
    pooling: Pooling = "mean"
    final_norm: bool = True
    layer_norm_epsilon: float = 1e-6
    dtype: ComputeDtype = "float32"
    positions: Literal["sincos", "learned"] = "sincos"
    qkv_bias: bool = True
    mlp: Literal["gelu", "swiglu"] = "gelu"
    layer_scale: float | None = None
    remat: bool = False

    def __post_init__(self) -> None:
        for field in (
            "image_size",
            "patch_size",
            "channels",
            "width",
            "depth",
            "heads",
            "mlp_width",
        ):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"ViTConfig: {field} must be at least 1, got {getattr(self, field)}"
                )
        if self.image_size % self.patch_size:
            raise ValueError(
                f"ViTConfig: image_size {self.image_size} is not a multiple of patch_size "
                f"{self.patch_size}"
            )
        if self.width % self.heads or self.width % 4:
            raise ValueError(
                f"ViTConfig: width {self.width} must be a multiple of 4 and of heads ({self.heads})"
            )
        if self.pooling not in ("mean", "class_token"):
            raise ValueError(
                f"ViTConfig: pooling must be 'mean' or 'class_token', got {self.pooling!r}"
            )
        if self.pooling == "class_token" and not self.class_token:
            raise ValueError("ViTConfig: pooling='class_token' needs class_token=True")
        for field, choices in (
            ("dtype", ("float32", "bfloat16")),
            ("positions", ("sincos", "learned")),
            ("mlp", ("gelu", "swiglu")),
        ):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"ViTConfig: {field} must be '{choices[0]}' or '{choices[1]}', got "
                    f"{getattr(self, field)!r}"
                )

    @property
    def num_patches(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    @property
    def patch_values(self) -> int:
        return self.patch_size**2 * self.channels

    @property
    def features(self) -> int:
        """Width of the pooled features."""
        return self.width

    def module(self) -> "VisionTransformer":
        return VisionTransformer(self)


class VisionTransformer(nn.Module):
    """Maps images to tokens and features."""

    config: ViTConfig

    @nn.compact
    def encode(
        self,
        patches: Float[Array, "batch visible values"],
        where: Int[Array, "batch visible"] | None = None,
    ) -> Float[Array, "batch outputs width"]:
        """The encoder's output tokens, the class token (if any) first.

        Only visible patches are embedded. Each patch is embedded by itself, so this equals
        embedding all patches and dropping the masked ones, without that work.

        Args:
            patches: flattened as in `patchify`.
            where: the index of each patch in the grid; None: all patches, in order.
        """
        config = self.config
        dtype = jnp.dtype(config.dtype)
        if config.positions == "learned":
            initialiser, shape = nn.initializers.normal(0.02), (config.num_patches, config.width)
            positions = self.param("positions", initialiser, shape, jnp.float32).astype(dtype)
        else:
            positions = jnp.asarray(
                sincos_positions(config.image_size // config.patch_size, config.width), dtype
            )
        tokens = Dense(config.width, dtype, name="patch_embedding")(patches)
        tokens = tokens + (positions if where is None else positions[where])
        if config.class_token:
            token = self.param(
                "class_token", nn.initializers.normal(0.02), (config.width,), jnp.float32
            )
            tokens = jnp.concatenate(
                [jnp.broadcast_to(token.astype(dtype), (len(tokens), 1, config.width)), tokens],
                axis=1,
            )
        for i in range(config.depth):
            block = block_type(config.remat)(
                config.heads,
                config.mlp_width,
                config.layer_norm_epsilon,
                dtype,
                config.qkv_bias,
                config.mlp,
                config.layer_scale,
                name=f"block_{i}",
            )
            tokens = block(tokens, 0)
        return (
            LayerNorm(config.layer_norm_epsilon, name="norm")(tokens)
            if config.final_norm
            else tokens
        )

    def tokens(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch outputs features"]:
        """The output tokens of whole images with normalised pixels."""
        return self.encode(patchify(images, self.config.patch_size))

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """The pooled features of whole images with normalised pixels, float32.

        `train` changes nothing: no layer depends on the batch.
        """
        tokens = self.tokens(images).astype(jnp.float32)
        if self.config.pooling == "class_token":
            return tokens[:, 0]
        return tokens[:, int(self.config.class_token) :].mean(axis=1)
