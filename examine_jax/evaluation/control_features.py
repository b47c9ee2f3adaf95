"""Features that need no encoder, to be scored beside a trained one's: what they separate, the training did not earn."""

import numpy as np

from examine_jax.common.shapes import Float, Shaped


def raw_pixels(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
    """Every pixel a feature: [N, H * W * C] float32 in [0, 1], from uint8, or floats in [0, 1], [N, H, W, C].

    Raises:
      ValueError: another dtype, or values outside [0, 1].
    """
    return _unit(pixels).reshape(len(pixels), int(np.prod(pixels.shape[1:])))


def channel_means(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n c"]:
    """The mean of each colour channel: [N, C] float32 in [0, 1], from uint8, or floats in [0, 1], [N, H, W, C].

    Raises:
      ValueError: another dtype, or values outside [0, 1].
    """
    return _unit(pixels).mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def colour_statistics(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
    """Each colour channel's mean and standard deviation: [N, 2 C] float32, means first, from uint8, or floats in [0, 1], [N, H, W, C].

    Raises:
      ValueError: another dtype, or values outside [0, 1].
    """
    unit = _unit(pixels)
    mean, deviation = (moment(unit, axis=(1, 2), dtype=np.float64) for moment in (np.mean, np.std))
    return np.concatenate([mean, deviation], axis=1).astype(np.float32)


def colour_histogram(pixels: Shaped[np.ndarray, "n h w c"], *, bins: int = 16) -> Float[np.ndarray, "n d"]:
    """Each colour channel's histogram over [0, 1]: shares of the pixels [N, C * bins] float32; the stronger control of the two.

    Raises:
      ValueError: another dtype, or values outside [0, 1].
    """
    place = np.minimum((_unit(pixels) * bins).astype(np.int32), bins - 1)
    # One count for all images and channels: each has its own range of bins.
    num_images, height, width, channels = pixels.shape
    own = bins * (np.arange(num_images)[:, None] * channels + np.arange(channels))
    counts = np.bincount((place + own[:, None, None]).ravel(), minlength=num_images * channels * bins)
    shares = counts.reshape(num_images, channels * bins) / max(height * width, 1)
    return shares.astype(np.float32)


def _unit(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w c"]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    if pixels.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"pixels have dtype {pixels.dtype}; give uint8, or floats in [0, 1]")
    inside = (pixels >= 0) & (pixels <= 1)  # False for nan too
    if not inside.all():
        rows = np.flatnonzero(~inside.all(axis=(1, 2, 3)))
        raise ValueError(
            f"pixels lie outside [0, 1] in images {rows[:8].tolist()} ({len(rows)} in all); scale or clip them"
        )
    return pixels.astype(np.float32)
