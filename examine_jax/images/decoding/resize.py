"""Antialiased resizing to one size, by Pillow.

The whole image is squashed to the size: nothing at its edges is lost, and its aspect is not kept. A
`Framing` says otherwise, for an encoder whose library crops.

Large images are resized in bands of rows: a resize treats columns and rows apart, so the columns of
each band are reduced first, and then all rows. Where Pillow takes the other order, as for tall
images, bytes differ by their rounding between the two.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from examine_jax.common.shapes import Float, Num, UInt8
from examine_jax.images.decoding.framing import Framing

# (rows, columns), or one number for both, or an encoder's framing.
ImageSize = int | tuple[int, int] | Framing

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


def checked(image_size: ImageSize, channels: int) -> ImageSize:
    """A size that `check_size` accepts, as (rows, columns) or as the framing that it is."""
    size = check_size(image_size, channels)
    return image_size if isinstance(image_size, Framing) else size


def rows_and_columns(image_size: ImageSize) -> tuple[int, int]:
    """The (rows, columns) of a size; one number is a square."""
    if isinstance(image_size, Framing):
        return image_size.size, image_size.size
    return image_size if isinstance(image_size, tuple) else (image_size, image_size)


def is_smaller(stored: Sequence[int], image_size: ImageSize) -> bool:
    """Whether an image of (rows, columns) is enlarged: a side is shorter than it becomes."""
    if isinstance(image_size, Framing) and image_size.rule == "shorter_side":
        return min(stored) < image_size.shorter_side
    rows, columns = rows_and_columns(image_size)
    return stored[0] < rows or stored[1] < columns


def resize_image(image: Image.Image, image_size: ImageSize) -> Image.Image:
    """Pillow's resize, antialiased: Lanczos, or as a framing says.

    Without a framing, an image of that size is returned unchanged.
    """
    rows, columns = rows_and_columns(image_size)
    if isinstance(image_size, Framing):
        between = image_size.between(image.height, image.width)
        top, left = image_size.corner(*between)
        image = image.resize(between[::-1], image_size.kernel)
        return image.crop((left, top, left + columns, top + rows))
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
    if isinstance(image_size, Framing):
        return _framed_bands(bands, height, width, image_size)
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


def _framed_bands(
    bands: Iterable[Num[np.ndarray, "rows width channels"]],
    height: int,
    width: int,
    framing: Framing,
) -> Num[np.ndarray, "rows columns channels"]:
    """As `resize_bands`: the columns of each band first, and then the rows; then the crop."""
    parts: list[np.ndarray] = []
    rows, columns = framing.between(height, width)
    for band in bands:
        if len(band) == height:
            return (resize_bytes if band.dtype == np.uint8 else resize_values)(band, framing)
        parts.append(_by_channels(band, (columns, len(band)), framing.kernel))
    tall = np.concatenate(parts)
    parts.clear()
    top, left = framing.corner(rows, columns)
    tall = tall[:, left : left + framing.size]
    resized = _by_channels(tall, (framing.size, rows), framing.kernel)
    return resized[top : top + framing.size]


def _rows_first(width: int, height: int, columns: int) -> bool:
    return width < columns and height * columns > _MOST_BETWEEN


def _by_channels(
    values: Num[np.ndarray, "height width channels"],
    size: tuple[int, int],
    kernel: Image.Resampling = Image.Resampling.LANCZOS,
) -> Num[np.ndarray, "rows columns channels"]:
    """Resizes bytes, or floats channel by channel, to (columns, rows)."""
    if values.shape[:2] == size[::-1]:
        return values
    if values.dtype == np.uint8:
        image = Image.fromarray(
            np.ascontiguousarray(values[..., 0] if values.shape[-1] == 1 else values)
        )
        return np.asarray(image.resize(size, kernel)).reshape(*size[::-1], -1)
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0))
    return np.stack([np.asarray(plane.resize(size, kernel)) for plane in planes], axis=-1)


def resize_bytes(
    pixels: UInt8[np.ndarray, "height width channels"], image_size: ImageSize
) -> UInt8[np.ndarray, "rows columns channels"]:
    """`resize_image` for an array of 1 or 3 channels."""
    size = rows_and_columns(image_size)
    if pixels.shape[:2] == size and not isinstance(image_size, Framing):
        return pixels
    image = Image.fromarray(
        np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    )
    return np.asarray(resize_image(image, image_size)).reshape(*size, -1)


def resize_values(
    values: Float[np.ndarray, "height width channels"], image_size: ImageSize
) -> Float[np.ndarray, "rows columns channels"]:
    """`resize_image` for floats, channel by channel. Overshoots are kept."""
    size = rows_and_columns(image_size)
    if values.shape[:2] == size and not isinstance(image_size, Framing):
        return values
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0))
    return np.stack([np.asarray(resize_image(plane, image_size)) for plane in planes], axis=-1)


def luma(values: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 1"]:
    """Grey by ITU-R 601, as Pillow computes it."""
    return (values @ np.array([[0.299], [0.587], [0.114]], np.float32)).astype(np.float32)


def to_grey(pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 1"]:
    """Grey by ITU-R 601 for bytes, rounded to bytes, by Pillow."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
