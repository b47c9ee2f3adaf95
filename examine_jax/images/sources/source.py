"""What an image source is: a kind of storage that images are read from."""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from examine_jax.images.decoding.describing import Describe
from examine_jax.images.decoding.resize import ImageSize, rows_and_columns
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.image_set import ImageSet
from examine_jax.images.sources.scan import Scan
from examine_jax.images.streamed_images import StreamedImages


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How a source's images are read; `load_images` explains each.

    Attributes:
        image_size: (rows, columns) of the result; one number: a square.
        channels: 1 (grey) or 3 (colour).
        split: the part to read, for sources that have parts; None: the source's default.
        bits_stored: bits in use in images of 16 bits a sample, where they are known.
        on_progress: called as `on_progress(images done, images in all)`.
        intensity_range: (black, white) of grey DICOM values; None: as their files say.
        dicom_window: which of a DICOM file's windows; 1 is the first.
        describe: gets each image as it is stored, before any resize; its results become
            `ImageSet.descriptions` (decoding/describing.py). Where a source returns none,
            `load_images` describes the images that it returns.
        slicing: which slices of volumes are images.
        tiling: how whole slides are cut into tiles.
    """

    image_size: ImageSize
    channels: int = 3
    split: str | None = None
    bits_stored: int | None = None
    on_progress: Callable[[int, int], None] | None = None
    intensity_range: tuple[float, float] | None = None
    dicom_window: int = 1
    describe: Describe | None = None
    slicing: Slicing = EVERY_SLICE
    tiling: Tiling = HALF_MICROMETRE

    @property
    def size(self) -> tuple[int, int]:
        """The (rows, columns) of the result."""
        return rows_and_columns(self.image_size)


@runtime_checkable
class FileSource(Protocol):
    """A source that reads image files. It says where each file is."""

    def scan(self, name: str) -> Scan:
        """Finds the files of a path of this kind. Decodes nothing."""
        ...


@runtime_checkable
class Source(Protocol):
    """A kind of storage. A new one is a file with such a value, and a line in registry.py.

    A source of another package needs no line: its name is `package.module:attribute:rest`, where
    the attribute is such a value and `rest` is what its methods get as `name`. A source that reads
    DICOM files has an attribute `dicom` that is True; others refuse the settings of those files.

    Attributes:
        on_demand: whether `stream` works.
    """

    @property
    def on_demand(self) -> bool: ...

    def recognises(self, name: str) -> bool:
        """Whether a path or name is of this kind. Decodes nothing."""
        ...

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        """Reads all images into memory."""
        ...

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        """Finds all images; each is decoded when it is asked for."""
        ...
