"""Images that are decoded when they are asked for: for sets larger than memory."""

import dataclasses
from collections.abc import Callable

import numpy as np

from examine_jax.common.shapes import Int, Shaped, UInt8
from examine_jax.images.image_set import SkippedImage


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedImages:
    """Images of one size, each decoded when it is asked for.

    A training loop reads them like an `ImageSet`'s pixels.

    `images[indices]` is uint8 [B, H, W, C]. `len(images)` and `images.shape` [N, H, W, C] decode
    nothing. Several threads may read at once.

    Attributes:
        names: as in `ImageSet`.
        image_shape: (H, W, C).
        read: row -> uint8 [H, W, C]; [H, W, 1] is repeated to C channels. Its errors should name
            the image.
        labels: as in `ImageSet`.
        skipped: files that were found and cannot be read.
        files: the path of each image's file, where every image is read from a file.
        notes: as in `ImageSet`.
        stored_sizes: as in `ImageSet`.
    """

    names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    read: Callable[[int], UInt8[np.ndarray, "height width stored"]]
    labels: Shaped[np.ndarray, "images ..."] | None = None
    skipped: tuple[SkippedImage, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stored_sizes: Int[np.ndarray, "sized 2"] | None = None

    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), *self.image_shape)

    def __getitem__(
        self, indices: Int[np.ndarray, " batch"]
    ) -> UInt8[np.ndarray, "batch height width channels"]:
        """The images at these indices, decoded one after the other.

        Raises:
            IndexError: an index is out of range.
            UnreadableImage: a ValueError: a file cannot be read. The message names it.
        """
        pixels = np.empty((len(indices), *self.image_shape), np.uint8)
        for row, index in enumerate(indices):
            pixels[row] = self.read(int(index))
        return pixels
