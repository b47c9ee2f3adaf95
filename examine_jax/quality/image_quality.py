"""Qualities of images from their pixels alone: a number for each, higher is better."""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from examine_jax.common.shapes import Float, Shaped, UInt8

_BLOCK = 256


def sharpness(pixels: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, " n"]:
    """The variance of the Laplacian over the image's variance: low for blurred images.

    The division keeps sharp tissue of low contrast from counting as blurred. A constant image gets
    0.
    """

    def of(grey: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, " b"]:
        padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
        neighbours = (
            padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
        )
        variance = grey.var(axis=(1, 2))
        return np.where(
            variance > 1e-12,
            (neighbours - 4 * grey).var(axis=(1, 2)) / np.maximum(variance, 1e-12),
            0.0,
        )

    return _of_grey(pixels, of)


def exposure(pixels: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, " n"]:
    """Minus the brightness' distance from the set's median: low for dark or light images."""
    brightness = _of_grey(pixels, lambda grey: grey.mean(axis=(1, 2)))
    return -np.abs(brightness - np.median(brightness))


def entropy(pixels: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, " n"]:
    """Shannon's entropy of the grey histogram in bits (0 to 8): low for images with little content.

    The histogram has 256 bins.
    """

    def of(grey: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, " b"]:
        levels = np.rint(grey * 255).astype(np.int64).reshape(len(grey), -1)
        found = []
        for image in levels:
            share = np.bincount(image, minlength=256) / image.size
            found.append(-np.sum(share[share > 0] * np.log2(share[share > 0])))
        return np.array(found)

    return _of_grey(pixels, of)


def uniqueness(pixels: Shaped[np.ndarray, "n h w c"]) -> Float[np.ndarray, " n"]:
    """1 for the first of several images with equal bytes, 0 for its copies."""
    seen: set[bytes] = set()
    values = np.ones(len(pixels))
    for row, image in enumerate(pixels):
        digest = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=32).digest()
        values[row] = digest not in seen
        seen.add(digest)
    return values


IMAGE_QUALITIES: dict[str, Callable[[UInt8[np.ndarray, "n h w c"]], Float[np.ndarray, " n"]]] = {
    "sharpness": sharpness,
    "exposure": exposure,
    "entropy": entropy,
    "uniqueness": uniqueness,
}


def _of_grey(
    pixels: UInt8[np.ndarray, "n h w c"],
    function: Callable[[Float[np.ndarray, "b h w"]], Float[np.ndarray, " b"]],
) -> Float[np.ndarray, " n"]:
    return np.concatenate([function(grey) for grey in _grey_blocks(pixels)])


def _grey_blocks(pixels: UInt8[np.ndarray, "n h w c"]) -> Iterator[Float[np.ndarray, "b h w"]]:
    weights = (
        np.array([0.299, 0.587, 0.114])
        if pixels.shape[3] == 3
        else np.full(pixels.shape[3], 1 / pixels.shape[3])
    )
    for start in range(0, len(pixels), _BLOCK):
        yield pixels[start : start + _BLOCK].astype(np.float64) @ weights / 255
