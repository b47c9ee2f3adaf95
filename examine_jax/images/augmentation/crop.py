"""Random resized crop."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key, Shaped
from examine_jax.images.augmentation.resampling import Interpolation, resampling_weights

# As in torchvision: this many draws, then the largest central box of a permitted aspect.
_ATTEMPTS = 10


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
    """Cuts a box of random area and aspect and resizes it to a square, as in torchvision.

    Attributes:
        size: rows and columns of the result.
        scale: the range of the box's share of the image's area, drawn uniformly.
        ratio: the range of its width over its height, drawn log-uniformly.
        interpolation: "bilinear" or "bicubic", antialiased as in Pillow.
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"RandomResizedCrop: size={self.size}; give 1 pixel or more")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(
                f"RandomResizedCrop: scale={self.scale}; give two ascending shares of the area, up "
                "to 1"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(
                f"RandomResizedCrop: ratio={self.ratio}; give two ascending ratios of width to "
                "height"
            )
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(
                f"RandomResizedCrop: interpolation={self.interpolation!r}; give 'bilinear' or "
                "'bicubic'"
            )

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch size size channels"]:
        """Floats in [0, 1] or bytes in, float32 in [0, 1] out. Each image has its own box."""
        _, height, width, _ = images.shape
        return resized_crop(
            images, self.boxes(key, len(images), height, width), self.size, self.interpolation
        )

    def boxes(
        self, key: Key[Array, ""], count: int, height: int, width: int
    ) -> Float[Array, "count 4"]:
        """Draws boxes (top, left, height, width) in whole pixels, as float32."""
        draws = jax.random.uniform(key, (count, 2 * _ATTEMPTS + 2))
        area = (self.scale[0] + (self.scale[1] - self.scale[0]) * draws[:, :_ATTEMPTS]) * (
            height * width
        )
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = jnp.exp(low + (high - low) * draws[:, _ATTEMPTS:-2])
        widths, heights = jnp.round(jnp.sqrt(area * ratio)), jnp.round(jnp.sqrt(area / ratio))
        fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
        first = jnp.argmax(fits, axis=1)[:, None]
        fallback_height, fallback_width = self._largest_box(height, width)
        fitted = fits.any(axis=1)
        box_height = jnp.where(
            fitted, jnp.take_along_axis(heights, first, axis=1)[:, 0], fallback_height
        )
        box_width = jnp.where(
            fitted, jnp.take_along_axis(widths, first, axis=1)[:, 0], fallback_width
        )
        # The minimum keeps floor(u * n) below n for every float32 u < 1.
        free_top, free_left = height - box_height, width - box_width
        top = jnp.minimum(jnp.floor(draws[:, -2] * (free_top + 1)), free_top)
        left = jnp.minimum(jnp.floor(draws[:, -1] * (free_left + 1)), free_left)
        top = jnp.where(fitted, top, free_top // 2)
        left = jnp.where(fitted, left, free_left // 2)
        return jnp.stack([top, left, box_height, box_width], axis=1)

    def _largest_box(self, height: int, width: int) -> tuple[int, int]:
        if width / height < self.ratio[0]:
            return max(1, min(height, round(width / self.ratio[0]))), width
        if width / height > self.ratio[1]:
            return height, max(1, min(width, round(height * self.ratio[1])))
        return height, width


def resized_crop(
    images: Shaped[Array, "batch height width channels"],
    boxes: Float[Array, "batch 4"],
    size: int,
    interpolation: Interpolation,
) -> Float[Array, "batch size size channels"]:
    """Cuts a box out of each image and resizes it as Pillow does, by two small matrix products.

    Args:
        images: floats in [0, 1], or bytes.
        boxes: top, left, height and width of each.
        size: rows and columns of the result.
        interpolation: "bilinear" or "bicubic".

    Returns:
        float32, clipped to [0, 1]: a bicubic resize overshoots at edges.
    """
    _, height, width, _ = images.shape
    top, left, box_height, box_width = boxes.T
    rows = resampling_weights(top, box_height, height, size, interpolation)
    columns = resampling_weights(left, box_width, width, size, interpolation)
    # The default precision of accelerators rounds to 8 or 10 bits of mantissa, which is visible in
    # bytes.
    precise = jax.lax.Precision.HIGHEST
    result = jnp.einsum("bsh,bhwc->bswc", rows, unit_floats(images), precision=precise)
    result = jnp.einsum("btw,bswc->bstc", columns, result, precision=precise)
    return jnp.clip(result, 0, 1)


def unit_floats(images: Shaped[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
    """float32 in [0, 1]: bytes divided by 255, floats unchanged."""
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255
    return images.astype(jnp.float32)
