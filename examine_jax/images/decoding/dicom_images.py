"""The images of DICOM files: frames in the order of their positions, and cuts through volumes."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from examine_jax.common.shapes import Float, Shaped
from examine_jax.images.decoding.chosen_slices import (
    ChosenSlices,
    choose_slices,
    duplicate_reason,
)
from examine_jax.images.decoding.decoded_image import (
    DecodedFile,
    DecodedImage,
    FileHeader,
    check_held,
)
from examine_jax.images.decoding.depth import to_bytes
from examine_jax.images.decoding.describing import Describe, described, provisional_bytes
from examine_jax.images.decoding.dicom import DicomFile, Frame, read_header
from examine_jax.images.decoding.dicom_placement import (
    pixel_digest,
    placement_of,
    placements_of,
)
from examine_jax.images.decoding.file_part import StackedFiles
from examine_jax.images.decoding.intensity import GreyScale, Intensities
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.resize import ImageSize, luma, resize_values
from examine_jax.images.decoding.slice_stacks import Placement, VolumeRemarks
from examine_jax.images.decoding.slicing import Slicing
from examine_jax.images.decoding.unreadable import UnreadableImage, unreadable

if TYPE_CHECKING:
    from examine_jax.images.decoding.dicom_stack import CutStack


@dataclasses.dataclass(frozen=True)
class _Order:
    """The images of a file.

    Attributes:
        frames: in order. Duplicates come last.
        problems: why some are not read.
        chosen: among slices of a volume; None: all frames, as they lie.
        placements: where they lie.
    """

    frames: tuple[int, ...]
    problems: dict[int, str]
    chosen: ChosenSlices | None
    placements: tuple[Placement, ...]

    @property
    def remarks(self) -> VolumeRemarks | None:
        """On its volumes."""
        return None if self.chosen is None else self.chosen.remarks


@dataclasses.dataclass(frozen=True)
class DicomImages:
    """Reads the images of DICOM files.

    Attributes:
        image_size, channels, bits_stored, max_pixels, max_bytes, budget: as in `ImageDecoder`.
        grey_scale, describe, slicing: as in `ImageDecoder`.
    """

    image_size: ImageSize
    channels: int
    bits_stored: int | None
    max_pixels: int
    max_bytes: int
    budget: Budget
    grey_scale: GreyScale
    describe: Describe | None
    slicing: Slicing

    def placement(self, stream: BinaryIO) -> Placement | None:
        """Where the slice of a file lies; None: it is no single slice of a series."""
        return placement_of(read_header(stream, self.max_pixels, self.max_bytes))

    def digest(self, stream: BinaryIO) -> str:
        """Of the pixels of a file's first frame, and of what says how they are shown."""
        return pixel_digest(read_header(stream, self.max_pixels, self.max_bytes), 0)

    def header(self, stream: BinaryIO) -> FileHeader:
        """What a file's header says of its images.

        Raises:
            UnreadableImage: there are none.
        """
        file = read_header(stream, self.max_pixels, self.max_bytes)
        order = _order(file, self.slicing)
        if (cut := self._cut_of(file, order)) is not None:
            with self._claim(file.size, file.frame_count):
                return _cut_header(cut())
        missing = file.missing() | order.problems
        if len(missing) >= len(order.frames):
            raise UnreadableImage(next(iter(missing.values())))
        slices = file.slices(self.grey_scale)
        return FileHeader(
            len(order.frames),
            False,
            file.waits_for_scale(self.grey_scale),
            {place: missing[frame] for place, frame in enumerate(order.frames) if frame in missing},
            tuple(slices[frame] for frame in order.frames),
            file.beyond(),
            frames=order.frames,
            sizes=(file.size,),
            declared=file.frame_count,
            remarks=order.remarks,
        )

    def images(self, stream: BinaryIO, indices: Sequence[int] | None) -> DecodedFile:
        """The images of a file, or those of these frames or cuts."""
        file = read_header(stream, self.max_pixels, self.max_bytes)
        order = _order(file, self.slicing) if indices is None or self.slicing.plane else None
        if order is not None and (cut := self._cut_of(file, order)) is not None:
            with self._claim(file.size, file.frame_count):
                return self._cuts(cut(), indices)
        if order is None or indices is not None:
            wanted, problems = tuple(indices or ()), dict[int, str]()
        else:
            wanted, problems = order.frames, order.problems
        check_held(len(wanted), self.image_size, self.channels, self.max_bytes)
        results: list[DecodedImage | UnreadableImage] = []
        with self.budget.claim(file.frame_size, work=file.frame_size * len(wanted)):
            for index in wanted:
                if index in problems:
                    results.append(UnreadableImage(problems[index]))
                    continue
                (frame,) = file.frames([index], self.grey_scale)
                if isinstance(frame, Exception):
                    results.append(unreadable(frame))
                else:
                    results.append(self._image(frame))
        return DecodedFile(
            results,
            file.beyond(),
            frames=wanted,
            declared=file.frame_count,
            remarks=None if order is None else order.remarks,
        )

    def cut_header(self, files: StackedFiles) -> FileHeader:
        """Which cuts through a volume of several files are images.

        Raises:
            UnreadableImage: none is.
        """
        with self._claim(files.size, len(files.files)):
            return _cut_header(self._stack(files))

    def cuts(self, files: StackedFiles, indices: Sequence[int] | None) -> DecodedFile:
        """The cuts through a volume of several files that are images, or these.

        Raises:
            UnreadableImage: none is.
        """
        with self._claim(files.size, len(files.files)):
            return self._cuts(self._stack(files), indices)

    def _stack(self, files: StackedFiles) -> "CutStack":
        stack: CutStack = _stack_reader().read_stack(
            files, self.slicing, self.grey_scale, self.max_pixels, self.max_bytes
        )
        return stack

    def _cut_of(self, file: DicomFile, order: _Order) -> "Callable[[], CutStack] | None":
        """Reads the frames of a file to be cut; None: the frames are its images."""
        stacks = [] if order.chosen is None else order.chosen.stacks
        if not stacks:
            return None
        if len(stacks) > 1 or (order.chosen and order.chosen.slices):
            raise UnreadableImage(
                f"{len(stacks)} volumes in one file, which are not cut in the "
                f"{self.slicing.plane} plane; leave slice_axis out"
            )

        def read() -> "CutStack":
            stack: CutStack = _stack_reader().cut_frames(
                file, stacks[0], order.placements, self.slicing, self.grey_scale, self.max_bytes
            )
            return stack

        return read

    def _cuts(self, stack: "CutStack", indices: Sequence[int] | None) -> DecodedFile:
        wanted = stack.indices if indices is None else indices
        check_held(len(wanted), self.image_size, self.channels, self.max_bytes)
        images = [self._image(stack.frame(index)) for index in wanted]
        if indices is not None:
            return DecodedFile(images)
        return DecodedFile(images, marks=stack.marks, empty=stack.empty)

    def _claim(self, size: tuple[int, int], count: int) -> contextlib.AbstractContextManager[None]:
        """For the values of a volume, and a copy of them."""
        pixels = size[0] * size[1] * count
        return self.budget.claim(pixels, work=4 * pixels)

    def _image(self, frame: Frame) -> DecodedImage:
        values = frame.values
        stored_size = values.shape[:2]
        description = self._described(values, frame.intensities)
        if frame.intensities is not None:
            pixels = resize_values(values, self.image_size)
            return DecodedImage(
                pixels,
                values.max().item(),
                stored_size,
                frame.intensities,
                description,
                frame.slice,
            )
        if values.shape[-1] == 3 and self.channels == 1:
            values = luma(values)
        return DecodedImage(
            to_bytes(resize_values(values, self.image_size), 1.0),
            255.0,
            stored_size,
            description=description,
            slice=frame.slice,
        )

    def _described(
        self, values: Shaped[np.ndarray, "height width stored"], intensities: Intensities | None
    ) -> Float[np.ndarray, " numbers"] | None:
        """What `describe` says of a frame."""
        if self.describe is None:
            return None
        return described(
            self.describe, provisional_bytes(values, 1.0, self.bits_stored, intensities)
        )


def _stack_reader() -> ModuleType:
    """The module dicom_stack.py.

    Raises:
        UnreadableImage: pydicom or nibabel is not installed.
    """
    try:
        from examine_jax.images.decoding import dicom_stack
    except ImportError:
        raise UnreadableImage(
            "DICOM slices of a volume, which are put together by the packages pydicom and nibabel; "
            "pip install 'examine-jax[dicom,volumes]'"
        ) from None
    return dicom_stack


def _cut_header(stack: "CutStack") -> FileHeader:
    return FileHeader(
        len(stack.indices),
        False,
        stack.intensities is not None,
        frames=stack.indices,
        marks=stack.marks,
        empty=stack.empty,
        sizes=(stack.volume.slice_shape,),
    )


def _order(file: DicomFile, slicing: Slicing) -> _Order:
    """Which frames of a file are images, and in which order."""
    every = tuple(range(file.frame_count))
    found = placements_of(file) if file.frame_count > 1 else None
    if found is None:
        return _Order(every, {}, None, ())
    chosen = choose_slices(found, slicing)
    problems = dict(chosen.problems) | {
        index: duplicate_reason(f"frame {kept}") for index, kept in chosen.duplicates.items()
    }
    return _Order((*chosen.slices, *sorted(problems)), problems, chosen, found)
