"""Features that need no encoder, to be scored beside a trained one's: what they separate, the training did not earn."""

import numpy as np

from examine_jax._shapes import Float, Shaped


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
