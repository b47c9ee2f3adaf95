"""Control features that need no encoder.

What they already separate is no merit of the training.
"""

import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Float, Shaped


def raw_pixels(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
    """The pixel values themselves.

    Args:
        pixels: [N, H, W, C], uint8 or floats in [0, 1].

    Returns:
        [N, H * W * C] float32 in [0, 1].

    Raises:
        ValueError: the dtype is another one, or values lie outside [0, 1].
    """
    return _unit(pixels).reshape(len(pixels), int(np.prod(pixels.shape[1:])))


def channel_means(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n c"]:
    """The mean of each colour channel.

    Args:
        pixels: [N, H, W, C], uint8 or floats in [0, 1].

    Returns:
        [N, C] float32 in [0, 1].

    Raises:
        ValueError: the dtype is another one, or values lie outside [0, 1].
    """
    return _unit(pixels).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def colour_statistics(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
    """The mean and the standard deviation of each colour channel.

    Args:
        pixels: [N, H, W, C], uint8 or floats in [0, 1].

    Returns:
        [N, 2 C] float32, the means first.

    Raises:
        ValueError: the dtype is another one, or values lie outside [0, 1].
    """
    unit = _unit(pixels)
    mean, deviation = (moment(unit, axis=(1, 2), dtype=np.float64) for moment in (np.mean, np.std))
    return np.concatenate([mean, deviation], axis=1).astype(np.float32)


def colour_histogram(
    pixels: Shaped[np.ndarray, "n h w c"], *, bins: int = 16
) -> Float[np.ndarray, "n d"]:
    """The histogram of each colour channel; a stronger control than `colour_statistics`.

    Args:
        pixels: [N, H, W, C], uint8 or floats in [0, 1].
        bins: the number of equal bins over [0, 1].

    Returns:
        The shares of the pixels, [N, C * bins] float32.

    Raises:
        ValueError: the dtype is another one, or values lie outside [0, 1].
    """
    place = np.minimum((_unit(pixels) * bins).astype(np.int32), bins - 1)
    # One call of bincount serves all images and channels: each has its own range of bins.
    num_images, height, width, channels = pixels.shape
    own = bins * (np.arange(num_images)[:, None] * channels + np.arange(channels))
    counts = np.bincount(
        (place + own[:, None, None]).ravel(), minlength=num_images * channels * bins
    )
    shares = counts.reshape(num_images, channels * bins) / max(height * width, 1)
    return shares.astype(np.float32)


def _unit(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w c"]:
    pixels = native(pixels)
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    if pixels.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"pixels have dtype {pixels.dtype}; give uint8, or floats in [0, 1]")
    inside = (pixels >= 0) & (pixels <= 1)  # False for NaN too
    if not inside.all():
        rows = np.flatnonzero(~inside.all(axis=(1, 2, 3)))
        raise ValueError(
            f"pixels lie outside [0, 1] in images {rows[:8].tolist()} ({len(rows)} in all); scale "
            "or clip them"
        )
    return pixels.astype(np.float32)
