"""Antialiased resizing to a square, by Pillow.

The whole image is squashed to the square: nothing at its edges is lost, and its aspect is not kept.
"""

import numpy as np
from PIL import Image

from examine_jax.common.shapes import Float, UInt8


def check_size(image_size: int, channels: int) -> None:
    """Raises a ValueError where the size is not 1 to 4096 or the channels are not 1 or 3."""
    if not 1 <= image_size <= 4096:
        raise ValueError(f"image_size={image_size}: give 1 to 4096 pixels")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: give 1 (grey) or 3 (colour)")


def resize_image(image: Image.Image, image_size: int) -> Image.Image:
    """Pillow's Lanczos resize, antialiased. An image of that size is returned unchanged."""
    return image.resize((image_size, image_size), Image.Resampling.LANCZOS)


def resize_bytes(
    pixels: UInt8[np.ndarray, "height width channels"], image_size: int
) -> UInt8[np.ndarray, "image_size image_size channels"]:
    """`resize_image` for an array of 1 or 3 channels."""
    if pixels.shape[:2] == (image_size, image_size):
        return pixels
    image = Image.fromarray(
        np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    )
    return np.asarray(resize_image(image, image_size)).reshape(image_size, image_size, -1)


def resize_values(
    values: Float[np.ndarray, "height width channels"], image_size: int
) -> Float[np.ndarray, "image_size image_size channels"]:
    """`resize_image` for floats, channel by channel. Overshoots are kept."""
    if values.shape[:2] == (image_size, image_size):
        return values
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0))
    return np.stack([np.asarray(resize_image(plane, image_size)) for plane in planes], axis=-1)


def luma(values: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 1"]:
    """Grey by ITU-R 601, as Pillow computes it."""
    return (values @ np.array([[0.299], [0.587], [0.114]], np.float32)).astype(np.float32)


def to_grey(pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 1"]:
    """Grey by ITU-R 601 for bytes, rounded to bytes, by Pillow."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
