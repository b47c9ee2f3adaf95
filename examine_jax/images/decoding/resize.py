"""Antialiased resizing to one size, by Pillow.

The whole image is squashed to the size: nothing at its edges is lost, and its aspect is not kept.

Large images are resized in bands of rows: a resize treats columns and rows apart, so the columns of
each band are reduced first, and then all rows. Where Pillow takes the other order, as for tall
images, bytes differ by their rounding between the two.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from examine_jax.common.shapes import Float, Num, UInt8

# (rows, columns), or one number for both.
ImageSize = int | tuple[int, int]

# Pixels of a band: few enough for little memory, so many that most images are one band.
BAND_PIXELS = 1_000_000

# Pillow's picture between the two axes has the final columns and all rows. Of a narrow image with
# more of them, the rows are reduced first.
_MOST_BETWEEN = 50_000_000


def check_size(image_size: ImageSize, channels: int) -> tuple[int, int]:
    """The (rows, columns) of a size.

    Raises:
        ValueError: a side is not 1 to 4096, or the channels are not 1 or 3.
    """
    size = rows_and_columns(image_size)
    whole = all(isinstance(side, int | np.integer) for side in size)
    if len(size) != 2 or not whole or not all(1 <= side <= 4096 for side in size):
        raise ValueError(
            f"image_size={image_size}: give 1 to 4096 pixels, or two such numbers (rows, columns)"
        )
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: give 1 (grey) or 3 (colour)")
    return int(size[0]), int(size[1])


def rows_and_columns(image_size: ImageSize) -> tuple[int, int]:
    """The (rows, columns) of a size; one number is a square."""
    return image_size if isinstance(image_size, tuple) else (image_size, image_size)


def is_smaller(stored: Sequence[int], image_size: ImageSize) -> bool:
    """Whether an image of (rows, columns) has a side shorter than a size's."""
    rows, columns = rows_and_columns(image_size)
    return stored[0] < rows or stored[1] < columns


def resize_image(image: Image.Image, image_size: ImageSize) -> Image.Image:
    """Pillow's Lanczos resize, antialiased. An image of that size is returned unchanged."""
    rows, columns = rows_and_columns(image_size)
    if _rows_first(*image.size, columns):
        image = image.resize((image.width, rows), Image.Resampling.LANCZOS)
    return image.resize((columns, rows), Image.Resampling.LANCZOS)


def resize_bands(
    bands: Iterable[Num[np.ndarray, "rows width channels"]],
    height: int,
    width: int,
    image_size: ImageSize,
) -> Num[np.ndarray, "rows columns channels"]:
    """`resize_bytes` or `resize_values` of an image of `height` rows in bands from the top down.

    Each band is used once, before the next one is asked for.
    """
    parts: list[np.ndarray] = []
    rows, final = rows_and_columns(image_size)
    columns = width if _rows_first(width, height, final) else final
    for band in bands:
        if len(band) == height:
            return (resize_bytes if band.dtype == np.uint8 else resize_values)(band, image_size)
        parts.append(_by_channels(band, (columns, len(band))))
    tall = np.concatenate(parts)
    parts.clear()
    return _by_channels(_by_channels(tall, (columns, rows)), (final, rows))


def _rows_first(width: int, height: int, columns: int) -> bool:
    return width < columns and height * columns > _MOST_BETWEEN


def _by_channels(
    values: Num[np.ndarray, "height width channels"], size: tuple[int, int]
) -> Num[np.ndarray, "rows columns channels"]:
    """Resizes bytes, or floats channel by channel, to (columns, rows)."""
    if values.shape[:2] == size[::-1]:
        return values
    if values.dtype == np.uint8:
        image = Image.fromarray(
            np.ascontiguousarray(values[..., 0] if values.shape[-1] == 1 else values)
        )
        return np.asarray(image.resize(size, Image.Resampling.LANCZOS)).reshape(*size[::-1], -1)
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0))
    return np.stack(
        [np.asarray(plane.resize(size, Image.Resampling.LANCZOS)) for plane in planes], axis=-1
    )


def resize_bytes(
    pixels: UInt8[np.ndarray, "height width channels"], image_size: ImageSize
) -> UInt8[np.ndarray, "rows columns channels"]:
    """`resize_image` for an array of 1 or 3 channels."""
    size = rows_and_columns(image_size)
    if pixels.shape[:2] == size:
        return pixels
    image = Image.fromarray(
        np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    )
    return np.asarray(resize_image(image, size)).reshape(*size, -1)


def resize_values(
    values: Float[np.ndarray, "height width channels"], image_size: ImageSize
) -> Float[np.ndarray, "rows columns channels"]:
    """`resize_image` for floats, channel by channel. Overshoots are kept."""
    size = rows_and_columns(image_size)
    if values.shape[:2] == size:
        return values
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0))
    return np.stack([np.asarray(resize_image(plane, size)) for plane in planes], axis=-1)


def luma(values: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 1"]:
    """Grey by ITU-R 601, as Pillow computes it."""
    return (values @ np.array([[0.299], [0.587], [0.114]], np.float32)).astype(np.float32)


def to_grey(pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 1"]:
    """Grey by ITU-R 601 for bytes, rounded to bytes, by Pillow."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
