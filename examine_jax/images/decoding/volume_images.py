"""The slices of a volume as decoded images."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.decoding.decoded_image import DecodedFile, DecodedImage, FileHeader
from examine_jax.images.decoding.describing import Describe, described
from examine_jax.images.decoding.intensity import Intensities
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.resize import ImageSize, resize_values, rows_and_columns
from examine_jax.images.decoding.slicing import Slicing
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.decoding.volume import (
    Volume,
    mark,
    open_volume,
    read_slices,
    slice_bytes,
)

# A claim is in pixels of 32 bits.
_BYTES_PER_PIXEL = 4


@dataclasses.dataclass(frozen=True)
class VolumeReader:
    """Reads the slices of volumes.

    Attributes:
        image_size: (rows, columns) of the result; one number: a square.
        slicing: which slices.
        max_bytes: volumes that take more are refused.
        budget: bounds what all threads together hold.
        intensity_range: (black, white) of all values; None: each volume has its own.
        describe: describes each slice before resizing; None: nothing does.
    """

    image_size: ImageSize
    slicing: Slicing
    max_bytes: int
    budget: Budget
    intensity_range: tuple[float, float] | None
    describe: Describe | None

    def header(self, stream: BinaryIO, name: str) -> FileHeader:
        """Which slices are images, and the scale of the volume. Reads it whole.

        Raises:
            UnreadableImage: none is.
        """
        with open_volume(stream, self.slicing, self.max_bytes) as volume, self._claim(volume):
            slices = read_slices(volume, self.slicing, self.intensity_range)
            return FileHeader(
                len(slices.indices),
                False,
                frames=slices.indices,
                marks=tuple(mark(volume, index) for index in slices.indices),
                scales={name: slices.scale},
                empty=slices.empty,
                sizes=(volume.slice_shape,),
            )

    def slices(self, stream: BinaryIO, name: str) -> DecodedFile:
        """All slices that are images.

        Raises:
            UnreadableImage: none is.
        """
        with open_volume(stream, self.slicing, self.max_bytes) as volume, self._claim(volume):
            slices = read_slices(volume, self.slicing, self.intensity_range)
            rows, columns = rows_and_columns(self.image_size)
            if rows * columns * len(slices.indices) > self.max_bytes:
                raise UnreadableImage(
                    f"{len(slices.indices)} slices, which take more than max_bytes={self.max_bytes}"
                )
            images = []
            for index in slices.indices:
                values = slices.of(volume, index)
                pixels = slice_bytes(resize_values(values, self.image_size), slices.scale)
                images.append(
                    DecodedImage(
                        pixels,
                        255.0,
                        volume.slice_shape,
                        description=self._described(values, slices.scale),
                    )
                )
            return DecodedFile(
                images,
                marks=tuple(mark(volume, index) for index in slices.indices),
                empty=slices.empty,
            )

    def some(self, stream: BinaryIO, name: str, indices: Sequence[int]) -> DecodedFile:
        """Single slices, whose values wait for the scale that `header` gives for this name."""
        with open_volume(stream, self.slicing, self.max_bytes) as volume:
            if any(index >= volume.depth for index in indices):
                raise UnreadableImage("it has fewer slices than when it was listed")
            scale = None
            if self.describe is not None:
                with self._claim(volume):
                    scale = read_slices(volume, self.slicing, self.intensity_range).scale
            images = []
            for index in indices:
                values = volume.slice(index)
                if not np.isfinite(values).all():
                    raise UnreadableImage("NaN or infinity among its values; replace them")
                waits = Intensities(
                    name, np.empty(0, np.float32), whole=False, from_zero=False, inverted=False
                )
                description = None if scale is None else self._described(values, scale)
                images.append(
                    DecodedImage(
                        resize_values(values, self.image_size),
                        float(values.max()),
                        volume.slice_shape,
                        waits,
                        description,
                    )
                )
            return DecodedFile(images)

    def _claim(self, volume: Volume) -> contextlib.AbstractContextManager[None]:
        voxels = volume.shape[0] * volume.shape[1] * volume.shape[2]
        return self.budget.claim(1 + volume.nbytes // _BYTES_PER_PIXEL, work=voxels)

    def _described(
        self, values: Float[np.ndarray, "rows columns 1"], scale: tuple[float, float]
    ) -> Float[np.ndarray, " numbers"] | None:
        if self.describe is None:
            return None
        return described(self.describe, slice_bytes(values, scale))
