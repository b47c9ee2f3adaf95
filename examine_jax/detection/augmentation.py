"""Augmentation of images with boxes: mirror images, scale jitter and crops, on the device."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Bool, Float, Key
from examine_jax.images.augmentation.draws import check_probability


@dataclasses.dataclass(frozen=True)
class BoxAugmentation:
    """How training images and their boxes are changed; each image has its own draw.

    Attributes:
        flip_horizontal: the probability of swapping left and right.
        flip_vertical: the probability of swapping top and bottom.
        scale: the range of the factor by which an image is enlarged, drawn log-uniformly. Above 1,
            a part of the image at a random place fills the frame (a crop). Below 1, the image lies
            at a random place in the frame, and its mean colour is around it.
        least_visible: a box of which a crop leaves a smaller share of the area is dropped; others
            are clipped to the frame.
    """

    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    least_visible: float = 0.3

    def __post_init__(self) -> None:
        for name in ("flip_horizontal", "flip_vertical", "least_visible"):
            check_probability(f"BoxAugmentation: {name}", getattr(self, name))
        if not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise ValueError(
                f"BoxAugmentation: scale={self.scale}; give two ascending factors above 0"
            )


NO_CHANGE = BoxAugmentation(flip_horizontal=0.0)


def augment(
    key: Key[Array, ""],
    images: Float[Array, "batch height width channels"],
    boxes: Float[Array, "batch most 4"],
    mask: Bool[Array, "batch most"],
    settings: BoxAugmentation,
) -> tuple[
    Float[Array, "batch height width channels"],
    Float[Array, "batch most 4"],
    Bool[Array, "batch most"],
]:
    """Changes images and their boxes alike.

    Args:
        key: of the draws.
        images: float32 in [0, 1].
        boxes: corners x_min, y_min, x_max, y_max in the images' pixels.
        mask: which rows of `boxes` are boxes.
        settings: what is changed.

    Returns:
        Images, boxes and mask of the same shapes. Rows of boxes that are masked out are 0.
    """
    batch, height, width, _ = images.shape
    draws = jax.random.uniform(key, (5, batch))
    if settings.scale != (1.0, 1.0):
        low, high = jnp.log(jnp.array(settings.scale, jnp.float32))
        factor = jnp.exp(low + (high - low) * draws[0])
        # The part of the image's plane that fills the frame; it may reach beyond the image.
        part_height, part_width = height / factor, width / factor
        top, left = draws[1] * (height - part_height), draws[2] * (width - part_width)
        images = _resampled(images, top, left, part_height, part_width)
        moved = (boxes - _corners(left, top)) * factor[:, None, None]
        clipped = jnp.clip(moved, 0, jnp.array([width, height, width, height], jnp.float32))
        mask = mask & (_area(clipped) >= settings.least_visible * _area(moved))
        mask = mask & (_area(clipped) > 0)
        boxes = clipped
    x_min, y_min, x_max, y_max = jnp.moveaxis(boxes, -1, 0)
    if settings.flip_horizontal:
        flipped = draws[3] < settings.flip_horizontal
        images = jnp.where(flipped[:, None, None, None], images[:, :, ::-1], images)
        x_min, x_max = (
            jnp.where(flipped[:, None], width - x_max, x_min),
            jnp.where(flipped[:, None], width - x_min, x_max),
        )
    if settings.flip_vertical:
        flipped = draws[4] < settings.flip_vertical
        images = jnp.where(flipped[:, None, None, None], images[:, ::-1], images)
        y_min, y_max = (
            jnp.where(flipped[:, None], height - y_max, y_min),
            jnp.where(flipped[:, None], height - y_min, y_max),
        )
    boxes = jnp.stack([x_min, y_min, x_max, y_max], axis=-1)
    return images, jnp.where(mask[..., None], boxes, 0), mask


def _corners(left: Float[Array, " batch"], top: Float[Array, " batch"]) -> Array:
    return jnp.stack([left, top, left, top], axis=-1)[:, None, :]


def _area(boxes: Float[Array, "batch most 4"]) -> Float[Array, "batch most"]:
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def _resampled(
    images: Float[Array, "batch height width channels"],
    top: Float[Array, " batch"],
    left: Float[Array, " batch"],
    part_height: Float[Array, " batch"],
    part_width: Float[Array, " batch"],
) -> Float[Array, "batch height width channels"]:
    """Each image's part at its size, bilinear and antialiased; the mean colour outside it."""
    _, height, width, _ = images.shape
    rows, inside_rows = _weights(top, part_height, height)
    columns, inside_columns = _weights(left, part_width, width)
    precise = jax.lax.Precision.HIGHEST
    result = jnp.einsum("bsh,bhwc->bswc", rows, images, precision=precise)
    result = jnp.einsum("btw,bswc->bstc", columns, result, precision=precise)
    inside = inside_rows[:, :, None, None] & inside_columns[:, None, :, None]
    return jnp.where(inside, result, images.mean(axis=(1, 2), keepdims=True))


def _weights(
    start: Float[Array, " batch"], length: Float[Array, " batch"], size: int
) -> tuple[Float[Array, "batch size size"], Bool[Array, "batch size"]]:
    """Weights that resize `length` pixels from `start` on to `size`, and where they lie inside."""
    scale = (length / size)[:, None]
    centre = start[:, None] + (jnp.arange(size, dtype=jnp.float32) + 0.5) * scale
    position = jnp.arange(size, dtype=jnp.float32) + 0.5
    distance = jnp.abs(position - centre[:, :, None]) / jnp.maximum(scale, 1)[:, :, None]
    weights = jnp.maximum(1 - distance, 0)
    inside = (centre > 0) & (centre < size)
    return weights / jnp.maximum(weights.sum(axis=-1, keepdims=True), 1e-6), inside
