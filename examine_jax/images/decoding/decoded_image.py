"""What decoding a file gives: its images, or what its header says of them."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from examine_jax.common.shapes import Float, Shaped
from examine_jax.images.decoding.intensity import Intensities
from examine_jax.images.decoding.resize import ImageSize, rows_and_columns
from examine_jax.images.decoding.series_windows import Slice
from examine_jax.images.decoding.slice_stacks import VolumeRemarks
from examine_jax.images.decoding.unreadable import UnreadableImage


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """A resized image with 1 channel (grey) or 3.

    Attributes:
        pixels: uint8 is final. uint16 and float32 wait for the full scale of their source
            (depth.py), or for the scale that they share with other images (intensity.py).
        largest: the largest value before resizing.
        stored_size: rows and columns before resizing, upright.
        intensities: of DICOM values that wait, what they say of the scale that they share.
        description: what the decoder's `describe` says of the image before resizing.
        slice: of DICOM, what it says of its series' window.
    """

    pixels: Shaped[np.ndarray, "rows columns channels"]
    largest: float
    stored_size: tuple[int, int]
    intensities: Intensities | None = None
    description: Float[np.ndarray, " numbers"] | None = None
    slice: Slice | None = None


def check_held(frames: int, image_size: ImageSize, channels: int, max_bytes: int) -> None:
    """Refuses a file of several images that take more than max_bytes together when resized.

    Raises:
        UnreadableImage: they do.
    """
    rows, columns = rows_and_columns(image_size)
    if frames > 1 and rows * columns * channels * frames > max_bytes:
        raise UnreadableImage(f"{frames} frames, which take more than max_bytes={max_bytes}")


@dataclasses.dataclass(frozen=True)
class DecodedFile:
    """The images of a file.

    Attributes:
        images: in place of one that is damaged, while others are not: why.
        beyond: why more images, which the file holds after these, are not read; None: there are
            none.
        marks: of a volume, what follows the file's name in the name of each slice.
        empty: of a volume, how many slices are left out.
        frames: the number of each image in the file, where these are not all in order.
        declared: how many images the file has with others that are left out; 0: as many.
        remarks: of the slices of a DICOM file, what its volume is like.
    """

    images: Sequence[DecodedImage | UnreadableImage]
    beyond: str | None = None
    marks: tuple[str, ...] = ()
    empty: int = 0
    frames: tuple[int, ...] = ()
    declared: int = 0
    remarks: VolumeRemarks | None = None


@dataclasses.dataclass(frozen=True)
class FileHeader:
    """What a file's header says of its images.

    Attributes:
        images: how many it declares.
        deep: they are integers of more than 8 bits, which wait for a full scale.
        waits: they wait for a scale that they share.
        missing: why images are not there, by their index.
        slices: of DICOM, what each image says of its series' window.
        beyond: as in `DecodedFile`.
        frames: of a volume, the index of each slice; else as in `DecodedFile`.
        marks, empty, declared, remarks: as in `DecodedFile`.
        scales: of a volume, (black, white) by the name of the scale that its slices share.
        sizes: rows and columns of each image, upright; one entry: they are all equal.
    """

    images: int
    deep: bool
    waits: bool = False
    missing: Mapping[int, str] = dataclasses.field(default_factory=dict)
    slices: tuple[Slice | None, ...] = ()
    beyond: str | None = None
    frames: tuple[int, ...] = ()
    marks: tuple[str, ...] = ()
    empty: int = 0
    scales: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    sizes: tuple[tuple[int, int], ...] = ()
    declared: int = 0
    remarks: VolumeRemarks | None = None

    def size(self, index: int) -> tuple[int, int]:
        """The rows and columns of one image."""
        return self.sizes[index] if len(self.sizes) > 1 else self.sizes[0]
