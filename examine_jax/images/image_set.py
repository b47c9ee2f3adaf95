"""What every source returns: names, pixels, and the files that could not be read."""

import dataclasses
import hashlib
from collections.abc import Iterable

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped, UInt8


@dataclasses.dataclass(frozen=True)
class SkippedImage:
    """A file that was found and cannot be read.

    Attributes:
        name: as in `ImageSet.names`.
        reason: one plain line.
    """

    name: str
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size in a fixed order. Row i of all results belongs to `names[i]`.

    Attributes:
        names: unique, and encodable as UTF-8: paths below the folder with forward slashes, or
            `key[row]` for arrays. They may contain quotes, newlines or markup: escape them in CSV
            and HTML.
        pixels: uint8 `[N, H, W, C]`.
        skipped: files that were found and cannot be read.
        resized_up: the number of images that were enlarged: a side was shorter than asked for.
        labels: one row per image, any dtype, where the source has labels (MedMNIST); else None. The
            library computes nothing from them.
        bits_stored: where images were integers of more than 8 bits, the number of bits that scaled
            them: value * 255 / (2**bits_stored - 1); else None. Pass it to the loader of the next
            folder for the same encoder.
        notes: what a user should know of how the images were read, one line each.
        descriptions: float64 [N, K], what `describe` says of each image as it was stored, where
            `load_images` was given one; else None.
        stored_sizes: int32 [N, 2], the (height, width) of each image as it was stored: upright, of
            the frame or page that it is, before any resize. None: the source does not say.
    """

    names: tuple[str, ...]
    pixels: UInt8[np.ndarray, "images height width channels"]
    skipped: tuple[SkippedImage, ...] = ()
    resized_up: int = 0
    labels: Shaped[np.ndarray, "labelled ..."] | None = None
    bits_stored: int | None = None
    notes: tuple[str, ...] = ()
    descriptions: Float[np.ndarray, "images numbers"] | None = None
    stored_sizes: Int[np.ndarray, "sized 2"] | None = None

    def __post_init__(self) -> None:
        if len(self.names) != len(self.pixels):
            raise ValueError(
                f"ImageSet: {len(self.names)} names for {len(self.pixels)} images; give one each"
            )
        if self.labels is not None and len(self.labels) != len(self.pixels):
            raise ValueError(
                f"ImageSet: {len(self.labels)} labels for {len(self.pixels)} images; give one each"
            )
        if self.descriptions is not None and len(self.descriptions) != len(self.pixels):
            raise ValueError(
                f"ImageSet: {len(self.descriptions)} descriptions for {len(self.pixels)} images; "
                "give one each"
            )
        if self.stored_sizes is not None and self.stored_sizes.shape != (len(self.pixels), 2):
            raise ValueError(
                f"ImageSet: stored_sizes of shape {self.stored_sizes.shape} for "
                f"{len(self.pixels)} images; give a height and a width each"
            )

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Iterable[int]) -> "ImageSet":
        """The images at these indices, in this order. skipped, resized_up and bits_stored stay."""
        rows = np.fromiter(indices, dtype=np.int64)
        return dataclasses.replace(
            self,
            names=tuple(self.names[row] for row in rows),
            pixels=self.pixels[rows],
            labels=None if self.labels is None else self.labels[rows],
            descriptions=None if self.descriptions is None else self.descriptions[rows],
            stored_sizes=None if self.stored_sizes is None else self.stored_sizes[rows],
        )


def exact_duplicates(image_set: ImageSet) -> tuple[tuple[int, ...], ...]:
    """Groups of two or more indices with equal pixels, ascending, by first index."""
    groups: dict[bytes, list[int]] = {}
    for index, pixels in enumerate(image_set.pixels):
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=32).digest()
        groups.setdefault(digest, []).append(index)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
