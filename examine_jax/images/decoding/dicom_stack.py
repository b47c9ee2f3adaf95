"""Cuts DICOM volumes in other planes than they were taken in.

The slices of a stack are shown as they are by themselves, by one window. A cut is along the axis of
the stack that is nearest to the plane that is asked for; nothing is interpolated, so that its rows
are as far apart as the slices. It is turned as volume.py states.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.decoding.dicom import DicomFile, Frame, read_header
from examine_jax.images.decoding.dicom_placement import placement
from examine_jax.images.decoding.file_part import StackedFiles, open_place, path_of
from examine_jax.images.decoding.intensity import GreyScale, Intensities
from examine_jax.images.decoding.series_windows import common_windows
from examine_jax.images.decoding.slice_stacks import Placement, Stack
from examine_jax.images.decoding.slicing import Slicing
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.decoding.volume import Volume, mark, turned

# Values that say of a stack's scale, at most.
_KEPT = 1024

# From the directions of DICOM (left, back, head) to those of volumes (right, front, head).
_TO_RIGHT_FRONT_HEAD = np.diag([-1.0, -1.0, 1.0])


@dataclasses.dataclass(frozen=True, eq=False)
class CutStack:
    """A stack that is read to be cut.

    Attributes:
        volume: its values, as shown from 0 (black) to 1 (white), or as they wait for a scale.
        intensities: of values that wait, what they say of the scale that they share.
        slicing: which cuts are images.
    """

    volume: Volume
    intensities: Intensities | None
    slicing: Slicing

    @functools.cached_property
    def indices(self) -> tuple[int, ...]:
        """The cuts that are images.

        Raises:
            UnreadableImage: all are empty.
        """
        wanted = range(0, self.volume.depth, self.slicing.step)
        found = tuple(index for index in wanted if np.ptp(self._values(index)) > 0)
        if not found:
            raise UnreadableImage(f"all its {len(wanted)} slices are empty: one value throughout")
        return found

    @property
    def empty(self) -> int:
        """How many cuts are left out because they have one value throughout."""
        return len(range(0, self.volume.depth, self.slicing.step)) - len(self.indices)

    @property
    def marks(self) -> tuple[str, ...]:
        """What follows a file's name in the name of each cut."""
        return tuple(mark(self.volume, index) for index in self.indices)

    def frame(self, index: int) -> Frame:
        """One cut.

        Raises:
            UnreadableImage: there is none.
        """
        if index >= self.volume.depth:
            raise UnreadableImage("it has fewer slices than when it was listed")
        return Frame(self._values(index), self.intensities)

    def _values(self, index: int) -> Float[np.ndarray, "rows columns 1"]:
        return self.volume.slice(index)


def read_stack(
    files: StackedFiles, slicing: Slicing, scale: GreyScale, max_pixels: int, max_bytes: int
) -> CutStack:
    """Reads the slices of a series to be cut.

    Raises:
        UnreadableImage: a slice cannot be read, or is in colours.
        OSError: a file cannot be opened.
    """
    check_size(files.size, len(files.files), max_bytes)
    own = [
        _opened(place, max_pixels, max_bytes, lambda file: file.slices(scale)[0])
        for place in files.files
    ]
    series = common_windows(one for one in own if one is not None)
    scale = dataclasses.replace(scale, series={**scale.series, **series})

    def read(file: DicomFile) -> tuple[Frame | Exception, Placement | None]:
        return next(file.frames([0], scale)), placement(file.header, False)

    found = [_opened(place, max_pixels, max_bytes, read) for place in files.files]
    first = found[0][1]
    if first is None:
        raise UnreadableImage("it changed since the files were listed")
    names = (path_of(place).rpartition("/")[2] for place in files.files)
    frames = (frame for frame, _ in found)
    return _cut(zip(names, frames), first, files.step, slicing)


def cut_frames(
    file: DicomFile,
    stack: Stack,
    placements: Sequence[Placement],
    slicing: Slicing,
    scale: GreyScale,
    max_bytes: int,
) -> CutStack:
    """Reads the frames of one file to be cut.

    Raises:
        UnreadableImage: a frame cannot be read, or is in colours, or there are too many.
    """
    check_size(file.size, len(stack.indices), max_bytes)
    windows = [one for one in file.slices(scale) if one is not None]
    scale = dataclasses.replace(scale, series={**scale.series, **common_windows(windows)})
    frames = file.frames(stack.indices, scale)
    names = (f"frame {index}" for index in stack.indices)
    return _cut(zip(names, frames), placements[stack.indices[0]], stack.step, slicing)


def check_size(size: tuple[int, int], count: int, max_bytes: int) -> None:
    """Refuses a stack that takes more than max_bytes."""
    nbytes = size[0] * size[1] * count * np.dtype(np.float32).itemsize
    if nbytes > max_bytes:
        raise UnreadableImage(f"its values take {nbytes} bytes, more than max_bytes={max_bytes}")


def _opened(place: Any, max_pixels: int, max_bytes: int, read: Any) -> Any:
    try:
        with open_place(place, max_bytes) as stream:
            return read(read_header(stream, max_pixels, max_bytes))
    except UnreadableImage as error:
        name = path_of(place).rpartition("/")[2]
        raise UnreadableImage(f"its slice {name} cannot be read: {error}") from error


def _cut(
    slices: Iterable[tuple[str, Frame | Exception]],
    first: Placement,
    step: Sequence[float],
    slicing: Slicing,
) -> CutStack:
    values: list[Float[np.ndarray, "rows columns"]] = []
    waiting: list[Intensities | None] = []
    for name, frame in slices:
        if isinstance(frame, Exception):
            raise UnreadableImage(f"its slice {name} cannot be read: {frame}") from frame
        if frame.values.shape[-1] != 1:
            raise UnreadableImage("slices in colours, which are not cut in another plane")
        values.append(frame.values[..., 0])
        waiting.append(frame.intensities)
    kinds = {one and (one.shared_by, one.from_zero, one.inverted) for one in waiting}
    if len(kinds) > 1:
        raise UnreadableImage("slices that are shown in different ways; leave slice_axis out")
    stored = np.stack(values).transpose(2, 1, 0)
    row, column = first.spacing or (1.0, 1.0)
    directions = np.array(
        [np.multiply(first.orientation[:3], column), np.multiply(first.orientation[3:], row), step]
    )
    affine = np.eye(4)
    affine[:3, :3] = _TO_RIGHT_FRONT_HEAD @ directions.T
    sides = stored.shape[0], stored.shape[1], stored.shape[2]
    volume = Volume(stored, sides, 1.0, 0.0, *turned(affine, slicing))
    return CutStack(volume, _pooled(waiting), slicing)


def _pooled(waiting: Sequence[Intensities | None]) -> Intensities | None:
    """What all slices together say of the scale that they share."""
    known = [one for one in waiting if one is not None]
    if not known:
        return None
    values = np.sort(np.concatenate([one.values for one in known]))
    every = max(1, len(values) // _KEPT)
    kept = np.concatenate([values[:1], values[1:-1:every], values[-1:]])
    return dataclasses.replace(known[0], values=kept, whole=all(one.whole for one in known))
