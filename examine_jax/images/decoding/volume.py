"""Reads slices of NIfTI volumes by nibabel: grey values of one scale a volume.

Black and white are the 0.5 and 99.5 percentiles of a volume's values after rescaling (of up to
4 million values, evenly spread), or the lowest and the highest where these are equal. So slices of
one volume are comparable; those of two volumes are, as far as their scanners' values are. A slice
is shown as DICOM shows it: anterior or superior above, the patient's right or anterior on the left,
by the volume's affine. It is along the axis of the volume that is nearest to the plane; nothing is
interpolated. A slice that has one grey throughout is empty and no image.
"""

import contextlib
import dataclasses
import gzip
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError

from examine_jax.common.shapes import Float, Num
from examine_jax.images.decoding.depth import to_bytes
from examine_jax.images.decoding.slicing import Slicing
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.decoding.volume_content import is_gzipped

# The patient's axes (right, anterior, superior) of a plane: across the slices, down and along one.
_AXES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}

_NIFTI2_LENGTH = 540
_PERCENTILES = (0.5, 99.5)
_MOST_SAMPLED = 2**22


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume that is open.

    Attributes:
        stored: reads its values as they are stored.
        shape: its three sides.
        slope, intercept: a value is stored * slope + intercept.
        across, down, along: its axes across, down and along a slice.
        down_flipped, along_flipped: whether these run the other way than a slice is shown.
    """

    stored: Any
    shape: tuple[int, int, int]
    slope: float
    intercept: float
    across: int
    down: int
    along: int
    down_flipped: bool
    along_flipped: bool

    @property
    def depth(self) -> int:
        """How many slices it has."""
        return self.shape[self.across]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """The rows and columns of a slice."""
        return self.shape[self.down], self.shape[self.along]

    @property
    def nbytes(self) -> int:
        """The bytes that its values take."""
        return math.prod(self.shape) * int(self.stored.dtype.itemsize)

    def slice(self, index: int) -> Float[np.ndarray, "rows columns 1"]:
        """The values of one slice."""
        return self.shown(self.cut(self.stored, index))

    def cut(self, stored: Any, index: int) -> Num[np.ndarray, "one other"]:
        """The stored values of one slice. Of an array, it is a view: `np.take` copies it whole."""
        place: list[Any] = [slice(None)] * 3
        place[self.across] = index
        return np.asarray(stored[tuple(place)])

    def shown(self, values: Num[np.ndarray, "one other"]) -> Float[np.ndarray, "rows columns 1"]:
        """The stored values of one slice as values, turned as they are shown."""
        if self.down > self.along:
            values = values.T
        values = values[:: -1 if self.down_flipped else 1, :: -1 if self.along_flipped else 1]
        scaled = values.astype(np.float64) * self.slope + self.intercept
        return np.ascontiguousarray(scaled[..., None], np.float32)


@contextlib.contextmanager
def open_volume(stream: BinaryIO, slicing: Slicing, max_bytes: int) -> Iterator[Volume]:
    """Opens a volume, and reads its header.

    Raises:
        UnreadableImage: it is damaged, has other than 3 dimensions, or values that are no numbers,
            or is too large.
    """
    with contextlib.ExitStack() as opened:
        content: Any = stream
        if is_gzipped(stream):
            content = opened.enter_context(gzip.GzipFile(fileobj=stream))
        length = content.read(4)
        content.seek(0)
        kind = Nifti1Header
        if _NIFTI2_LENGTH in (int.from_bytes(length, order) for order in ("little", "big")):
            kind = Nifti2Header
        try:
            # Its checks print; what matters of them is checked here.
            header = kind.from_fileobj(content, check=False)
            dtype = header.get_data_dtype()
            shape = tuple(int(side) for side in header.get_data_shape())
            slope, intercept = header.get_slope_inter()
            affine = header.get_best_affine()
            offset = int(header.get_data_offset())
        except (HeaderDataError, ValueError, OverflowError) as error:
            raise UnreadableImage(f"damaged ({' '.join(str(error).split())[:200]})") from error
        if offset < header.sizeof_hdr:
            raise UnreadableImage("damaged (its values begin within its header)")
        sides = _three_sides(shape)
        if dtype.kind not in "iuf":
            raise UnreadableImage(f"a volume of {dtype}; grey volumes alone are read")
        nbytes = math.prod(sides) * dtype.itemsize
        if nbytes > max_bytes:
            raise UnreadableImage(
                f"its values take {nbytes} bytes, more than max_bytes={max_bytes}"
            )
        place = (sides, dtype, offset, 1.0, 0.0)
        stored = ArrayProxy(content, place, mmap=False)
        slope = 1.0 if slope is None else float(slope)
        intercept = 0.0 if intercept is None else float(intercept)
        volume = Volume(stored, sides, slope, intercept, *turned(affine, slicing))
        if min(volume.slice_shape) < 2:
            raise UnreadableImage(
                f"a volume of {_by(sides)} values, whose {slicing.plane_of_file} slices are lines; "
                "take another plane"
            )
        yield volume


def _three_sides(shape: tuple[int, ...]) -> tuple[int, int, int]:
    sides = shape
    while len(sides) > 3 and sides[-1] == 1:
        sides = sides[:-1]
    if len(sides) > 3:
        raise UnreadableImage(
            f"{len(sides)} dimensions ({_by(sides)}): several times or channels; save the one to "
            "be read as a volume of its own"
        )
    if len(sides) < 3:
        raise UnreadableImage(f"{len(sides)} dimensions ({_by(sides)}); a volume has 3")
    if min(sides) < 1:
        raise UnreadableImage(f"a volume of {_by(sides)} values holds none")
    return sides[0], sides[1], sides[2]


def _by(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides)) or "none"


def turned(affine: Float[np.ndarray, "4 4"], slicing: Slicing) -> tuple[int, int, int, bool, bool]:
    """The axes across, down and along a slice, and whether the last two are flipped."""
    with np.errstate(all="ignore"):
        orientation = io_orientation(affine)
    if not np.isfinite(orientation).all():
        orientation = np.array([[0, 1], [1, 1], [2, 1]])
    # A volume's axis by the patient's axis that it is nearest to. Slices show the patient's axes
    # (towards right, anterior and superior) backwards.
    nearest = {int(patient): axis for axis, patient in enumerate(orientation[:, 0])}
    across, down, along = (nearest[patient] for patient in _AXES[slicing.plane_of_file])
    flipped = [bool(orientation[axis, 1] > 0) for axis in (down, along)]
    return across, down, along, flipped[0], flipped[1]


@dataclasses.dataclass(frozen=True)
class Slices:
    """The slices of a volume that are images.

    Attributes:
        indices: along the axis across them.
        empty: how many others are empty.
        scale: the values that are black and white.
        stored: the volume's values as they are stored.
    """

    indices: tuple[int, ...]
    empty: int
    scale: tuple[float, float]
    stored: Num[np.ndarray, "x y z"]

    def of(self, volume: Volume, index: int) -> Float[np.ndarray, "rows columns 1"]:
        """The values of one slice."""
        return volume.shown(volume.cut(self.stored, index))


def read_slices(
    volume: Volume, slicing: Slicing, intensity_range: tuple[float, float] | None
) -> Slices:
    """Reads a volume whole, and finds its scale and its slices.

    Args:
        volume: is open.
        slicing: which slices.
        intensity_range: the values that are black and white; None: the volume's own.

    Raises:
        UnreadableImage: it has NaN or infinity, or values that float32 does not hold, or no slice
            that is not empty.
        OSError: it is cut off.
    """
    stored = np.asanyarray(volume.stored)
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise UnreadableImage("NaN or infinity among its values; replace them")
    sample = _sample(volume, stored)
    scale = intensity_range or _scale(volume, stored, sample)
    _check_float32(volume, stored, sample, scale)
    wanted = range(0, volume.depth, slicing.step)
    slices = Slices((), 0, scale, stored)
    indices = tuple(index for index in wanted if not _is_empty(slices.of(volume, index), scale))
    if not indices:
        raise UnreadableImage(f"all its {len(wanted)} slices are empty: one grey throughout")
    return dataclasses.replace(slices, indices=indices, empty=len(wanted) - len(indices))


def _sample(volume: Volume, stored: Num[np.ndarray, "x y z"]) -> Float[np.ndarray, " values"]:
    """Some of a volume's values, evenly spread."""
    every = max(1, stored.size // _MOST_SAMPLED) | 1
    return _scaled(volume, stored.ravel(order="K")[::every])


def _ends(volume: Volume, stored: Num[np.ndarray, "x y z"]) -> Float[np.ndarray, "2"]:
    """The lowest and the highest value."""
    return np.sort(_scaled(volume, np.array([stored.min(), stored.max()])))


def _scaled(volume: Volume, stored: Num[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    with np.errstate(over="ignore", invalid="ignore"):
        return stored.astype(np.float64) * volume.slope + volume.intercept


def _scale(
    volume: Volume, stored: Num[np.ndarray, "x y z"], sample: Float[np.ndarray, " values"]
) -> tuple[float, float]:
    with np.errstate(invalid="ignore"):
        low, high = np.percentile(sample, _PERCENTILES)
    if low == high:
        low, high = _ends(volume, stored)
    return float(low), float(high if high > low else low + 1)


def _check_float32(
    volume: Volume,
    stored: Num[np.ndarray, "x y z"],
    sample: Float[np.ndarray, " values"],
    scale: tuple[float, float],
) -> None:
    """Refuses values that float32 does not hold, or not to half a grey: slices are of float32."""
    low, high = _ends(volume, stored)
    largest = max(-low, high)
    if not largest <= np.finfo(np.float32).max:
        raise UnreadableImage(
            f"values up to {largest:g}, more than float32 holds; save it with a smaller slope"
        )
    black, white = scale
    lost = float(np.abs(sample.astype(np.float32) - sample).max())
    if low < high and lost > (white - black) / 510:
        raise UnreadableImage(
            f"values near {largest:g} that differ by so little that float32 does not tell them "
            f"apart (black is {black:.12g}, white {white:.12g}); subtract an offset from them"
        )


def _is_empty(values: Float[np.ndarray, "rows columns 1"], scale: tuple[float, float]) -> bool:
    ends = slice_bytes(np.array([values.min(), values.max()]), scale)
    return bool(ends[0] == ends[1])


def slice_bytes(values: Num[np.ndarray, "..."], scale: tuple[float, float]) -> Any:
    """Values on a volume's scale as bytes."""
    black, white = scale
    return to_bytes(np.subtract(values, black, dtype=np.float32), white - black)


def mark(volume: Volume, index: int) -> str:
    """What follows a file's name in the name of a slice: the axis across it, and its index.

    x, y and z are the volume's first, second and third axis.
    """
    return f"?{'xyz'[volume.across]}={index}"
