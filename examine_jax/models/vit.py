"""The vision transformer: a frozen configuration and its Linen module."""

import dataclasses
import math
from typing import Any, Literal, get_args

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float, Int
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.patches import patchify
from examine_jax.models.positions import sincos_positions
from examine_jax.models.relative_positions import Relative, biases_of, relative_rows, table_rows
from examine_jax.models.rotary_positions import GridRotaryPositions, RotaryPositions
from examine_jax.models.transformer import Dense, LayerNorm, Turns, block_type
from examine_jax.models.vit_extras import ViTExtras

__all__ = ["ComputeDtype", "Pooling", "ViTConfig", "ViTExtras", "VisionTransformer"]

Pooling = Literal["mean", "class_token", "class_and_mean", "attention"]
ComputeDtype = Literal["float32", "bfloat16"]
_MOST_LOGITS = 1 << 29  # of the images that are embedded at once
_CHOICES = {
    "pooling": get_args(Pooling),
    "dtype": get_args(ComputeDtype),
    "positions": ("sincos", "learned", "relative", "rotary"),
    "mlp": tuple(MLP_FORMS),
}


@dataclasses.dataclass(frozen=True)
class ViTConfig:
    """A vision transformer.

    Attributes:
        image_size: side of the square input in pixels.
        patch_size: side of a square patch; divides image_size.
        channels: channels of the input.
        width, depth, heads, mlp_width: of the transformer; heads divides width, 4 divides width.
        class_token: whether a learned token precedes the patches.
        pooling: the features: the mean of the patch tokens; the class token; both, one after the
            other; or what an attention pooling head makes of the tokens.
        final_norm: whether the encoder ends with a layer norm (facebookresearch/mae). Without it
            (vit-pytorch in 2022) tokens keep their lengths, and features depend more on an image's
            contrast.
        layer_norm_epsilon: 1e-6 as in facebookresearch/mae.
        dtype: of the computation; parameters are always float32.
        positions: "sincos", fixed (facebookresearch/mae); "learned", one parameter vector a patch,
            initialised as normal(0.02); "rotary", turned queries and keys alone (DINOv3);
            "relative", the relative biases of `extras` alone (BEiT).
        qkv_bias: whether queries, keys and values have a bias.
        mlp: one of MLP_FORMS: "gelu", two dense layers around the exact GELU; "swiglu", silu(a) * b
            between them, a and b each mlp_width wide; and others.
        layer_scale: initial value of a learned factor for each channel of a block's branches; None:
            no factor.
        remat: whether the backward pass computes each block again instead of keeping its
            activations. Saves memory and costs a third more work.
        extras: parts that only some encoders have; None: none of them.
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
    positions: Literal["sincos", "learned", "rotary", "relative"] = "sincos"
    qkv_bias: bool = True
    mlp: str = "gelu"
    layer_scale: float | None = None
    remat: bool = False
    extras: ViTExtras | None = None

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
        if not 0 <= self.layer_norm_epsilon < math.inf:
            raise ValueError(
                f"ViTConfig: layer_norm_epsilon must be a number from 0, got "
                f"{self.layer_norm_epsilon}"
            )
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"ViTConfig: {field} must be one of {', '.join(map(repr, choices))}, got "
                    f"{getattr(self, field)!r}"
                )
        if self.pooling in ("class_token", "class_and_mean") and not self.class_token:
            raise ValueError(f"ViTConfig: pooling={self.pooling!r} needs class_token=True")
        self._check_extras(self.parts)

    def _check_extras(self, parts: ViTExtras) -> None:
        rotary = parts.rotary is not None
        if self.positions not in (("rotary", "learned") if rotary else _CHOICES["positions"][:-1]):
            raise ValueError(
                "ViTConfig: positions='rotary' (or 'learned') and extras.rotary go together"
            )
        if parts.rotary is not None and self.width // self.heads % 4:
            raise ValueError(
                f"ViTConfig: rotary positions need heads whose width is a multiple of 4, got "
                f"{self.width} / {self.heads}"
            )
        biased = parts.relative_bias or parts.shared_relative_bias
        if self.positions == "relative" and not biased:
            raise ValueError(
                "ViTConfig: positions='relative' needs extras.relative_bias or shared_relative_bias"
            )
        if biased and (not self.class_token or parts.registers):
            raise ValueError(
                "ViTConfig: relative biases are of a class token and patches; they need "
                "class_token=True and no registers"
            )
        pooler = parts.attention_pooling
        if self.pooling == "attention" and pooler is None:
            raise ValueError("ViTConfig: pooling='attention' needs extras.attention_pooling")
        if pooler is not None:
            pooler.check(self.width)
        if self.pooling == "class_and_mean" and (parts.pooled_norm or parts.projection):
            raise ValueError(
                "ViTConfig: pooling='class_and_mean' has no norm or projection after it; choose "
                "'class_token' or 'mean'"
            )

    @property
    def parts(self) -> ViTExtras:
        """`extras`, or none of them."""
        return ViTExtras() if self.extras is None else self.extras

    @property
    def leading(self) -> int:
        """How many tokens precede the patches: the class token and registers."""
        return int(self.class_token) + self.parts.registers

    def with_precision(self, dtype: ComputeDtype) -> "ViTConfig":
        """The transformer that computes in this dtype: in bfloat16, `wide`."""
        extras = self.extras
        if dtype == "bfloat16":
            extras = dataclasses.replace(self.parts, wide=True)
        return dataclasses.replace(self, dtype=dtype, extras=extras)

    @property
    def num_patches(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    @property
    def images_at_once(self) -> int:
        """How many have attention logits of one block, in float32, of at most 2 GiB; from 1."""
        tokens = self.leading + self.num_patches
        return max(1, _MOST_LOGITS // (self.heads * tokens**2))

    @property
    def patch_values(self) -> int:
        return self.patch_size**2 * self.channels

    @property
    def features(self) -> int:
        """Width of the pooled features."""
        if self.parts.projection is not None:
            return self.parts.projection
        if self.pooling == "attention" and self.parts.attention_pooling is not None:
            return self.parts.attention_pooling.features(self.width)
        return self.width * (1 + (self.pooling == "class_and_mean"))

    def module(self) -> "VisionTransformer":
        return VisionTransformer(self)


class VisionTransformer(nn.Module):
    """Maps images to tokens and features."""

    config: ViTConfig

    @nn.compact
    def _run(
        self,
        patches: Float[Array, "batch visible values"],
        where: Int[Array, "batch visible"] | None = None,
        *,
        layers: tuple[int, ...] = (),
        pooled: bool = False,
    ) -> Any:
        """The tokens; with `layers`, those after each of these blocks; with `pooled`, features."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        parts = config.parts
        stream = jnp.dtype(jnp.float32) if parts.wide else dtype
        # Of little work: a wide transformer does not round its pixels either.
        tokens = Dense(config.width, stream, name="patch_embedding")(patches).astype(stream)
        tokens = self._with_positions(tokens, where)
        leading = [
            self.param(name, nn.initializers.normal(0.02), (*count, config.width), jnp.float32)
            for name, count, present in (
                ("class_token", (), config.class_token),
                ("registers", (parts.registers,), parts.registers),
            )
            if present
        ]
        if leading:
            tokens = jnp.concatenate(
                [
                    jnp.broadcast_to(
                        token.astype(stream).reshape(-1, config.width),
                        (tokens.shape[0], token.size // config.width, config.width),
                    )
                    for token in leading
                ]
                + [tokens],
                axis=1,
            )
        if parts.embedding_norm:
            tokens = LayerNorm(config.layer_norm_epsilon, name="embedding_norm")(tokens)
        turns = None if parts.rotary is None else self._turns(parts.rotary, where)
        relative = self._relative(where)
        further = () if turns is None and relative is None else (turns, relative)
        after = {}
        for i in range(config.depth):
            block = block_type(config.remat)(
                config.heads,
                config.mlp_width,
                config.layer_norm_epsilon,
                dtype,
                config.qkv_bias,
                config.mlp,
                config.layer_scale,
                parts.query_key_norm,
                parts.norm_after,
                parts.wide,
                parts.attention_norm,
                parts.mlp_norm,
                table_rows(self._side) if parts.relative_bias else None,
                name=f"block_{i}",
            )
            tokens = block(tokens, 0, *further)
            after[i + 1] = tokens
        if config.final_norm:
            norm = LayerNorm(config.layer_norm_epsilon, name="norm")
            tokens = norm(tokens)
            after = {i: norm(after[i]) for i in layers if i < config.depth}
        if layers:
            return tuple(tokens if i == config.depth else after[i] for i in layers)
        return self._pool(tokens) if pooled else tokens

    def _with_positions(self, tokens: Array, where: Array | None) -> Array:
        config, dtype = self.config, tokens.dtype
        if config.positions in ("rotary", "relative"):
            return tokens
        if config.positions == "learned":
            initialiser, shape = nn.initializers.normal(0.02), (config.num_patches, config.width)
            positions = self.param("positions", initialiser, shape, jnp.float32).astype(dtype)
        else:
            positions = jnp.asarray(sincos_positions(self._side, config.width), dtype)
        return tokens + (positions if where is None else positions[where])

    @property
    def _side(self) -> int:
        return self.config.image_size // self.config.patch_size

    def _relative(self, where: Array | None) -> Relative | None:
        """Of the class token and the visible patches; None: the transformer has no such biases."""
        parts = self.config.parts
        if not (parts.relative_bias or parts.shared_relative_bias):
            return None
        rows = jnp.asarray(relative_rows(self._side))
        if where is not None:
            places = jnp.pad(where + 1, ((0, 0), (1, 0)))
            rows = rows[places[:, :, None], places[:, None, :]]
        if not parts.shared_relative_bias:
            return Relative(rows)
        shape = (table_rows(self._side), self.config.heads)
        table = self.param("relative_bias", nn.initializers.zeros, shape, jnp.float32)
        return Relative(rows, biases_of(table, rows))

    def _turns(self, rotary: RotaryPositions | GridRotaryPositions, where: Array | None) -> Turns:
        """Cosines and sines of all tokens; those that precede the patches are not turned."""
        config = self.config
        tables = rotary.turns(self._side, config.width // config.heads)
        ours = []
        for still, table in zip((1.0, 0.0), tables):
            patches = jnp.asarray(table) if where is None else jnp.asarray(table)[where][:, None]
            before = jnp.full((*patches.shape[:-2], config.leading, patches.shape[-1]), still)
            ours.append(jnp.concatenate([before, patches], axis=-2))
        return ours[0], ours[1]

    def _pool(self, tokens: Array) -> Array:
        config, parts = self.config, self.config.parts
        dtype = jnp.dtype(jnp.float32 if parts.wide else config.dtype)
        if config.pooling == "attention":
            head = parts.attention_pooling
            assert head is not None
            pooler = head.module(config.layer_norm_epsilon, dtype, "attention_pooling")
            pooled = pooler(tokens[:, head.leading(config.leading) :]).astype(jnp.float32)
        else:
            tokens = tokens.astype(jnp.float32)
            if config.pooling == "class_token":
                pooled = tokens[:, 0]
            else:
                pooled = tokens[:, config.leading :].mean(axis=1)
                if config.pooling == "class_and_mean":
                    pooled = jnp.concatenate([tokens[:, 0], pooled], axis=-1)
        if parts.pooled_norm:
            pooled = LayerNorm(config.layer_norm_epsilon, name="pooled_norm")(pooled)
        if parts.projection is not None:
            bias = parts.projection_bias
            projection = Dense(parts.projection, dtype, use_bias=bias, name="projection")
            pooled = projection(pooled).astype(jnp.float32)
        return pooled

    def encode(
        self,
        patches: Float[Array, "batch visible values"],
        where: Int[Array, "batch visible"] | None = None,
    ) -> Float[Array, "batch outputs width"]:
        """The encoder's output tokens: the class token and registers (if any), then the patches.

        Only visible patches are embedded. Each patch is embedded by itself, so this equals
        embedding all patches and dropping the masked ones, without that work.

        Args:
            patches: flattened as in `patchify`.
            where: the index of each patch in the grid; None: all patches, in order.
        """
        return self._run(patches, where)

    def tokens(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch outputs features"]:
        """The output tokens of whole images with normalised pixels."""
        return self.encode(patchify(images, self.config.patch_size))

    def layer_tokens(
        self, images: Float[Array, "batch height width channels"], layers: tuple[int, ...]
    ) -> tuple[Float[Array, "batch outputs features"], ...]:
        """The tokens after these blocks, each followed by the encoder's final norm, if it has one.

        Args:
            images: whole images with normalised pixels.
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
        return self._run(patchify(images, self.config.patch_size), layers=layers)

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """The pooled features of whole images with normalised pixels, float32.

        `train` changes nothing: no layer depends on the batch.
        """
        return self._run(patchify(images, self.config.patch_size), pooled=True)
