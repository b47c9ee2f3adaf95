"""Where the slices of a DICOM file lie, by its header: for slice_stacks.py."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pydicom
from pydicom.multival import MultiValue

from examine_jax.images.decoding.dicom import DicomFile
from examine_jax.images.decoding.dicom_codecs import decode, stored_bits
from examine_jax.images.decoding.dicom_frames import PixelData
from examine_jax.images.decoding.series_windows import SLICED
from examine_jax.images.decoding.slice_stacks import Placement, sharing_a_place

# Modalities that say nothing of what an image is: their images are slices if they have positions.
_UNKNOWN = ("", "OT")

# Elements whose values tell the volumes of a series apart, in this order, and those that do where
# most positions are shared. They are looked for in a frame's functional groups too.
_PHASES = (
    "StackID",
    "ImageType",
    "FrameType",
    "ComplexImageComponent",
    "EchoNumbers",
    "EchoTime",
    "EffectiveEchoTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "InversionTime",
    "KVP",
    "ContrastBolusAgent",
)
_TIMES = (
    "FrameReferenceTime",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "NominalPercentageOfCardiacPhase",
    "AcquisitionNumber",
    "FrameAcquisitionDateTime",
    "AcquisitionDateTime",
    "AcquisitionTime",
)

# Private elements with a diffusion weight: Siemens, GE, Philips.
_PRIVATE_B_VALUES = ((0x0019, 0x100C), (0x0043, 0x1039), (0x2001, 0x1003))

# What says how pixels are shown.
_SHOWN = (
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction"),
)

# Places, spacings and numbers of slices are below this.
_LARGEST = 1e12

# Slices that differ in one of these form no volume.
_NOT_MIXED = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID")

_LOCALIZER = "LOCALIZER"

# The largest share of its pixels that a compressed image of one value takes, in any syntax.
_MOST_OF_EMPTY = 1 / 6

# Of uncompressed pixels, as many bytes from the middle tell most images that are not empty.
_PROBE_BYTES = 4096


def is_sliced(header: pydicom.Dataset) -> bool:
    """Whether an image may be a slice of a volume."""
    modality = str(header.get("Modality") or "")
    if modality in SLICED:
        return True
    return modality in _UNKNOWN and "ImagePositionPatient" in header


def placements_of(file: DicomFile) -> tuple[Placement, ...] | None:
    """Where the frames of a file lie; None: they are no slices of a volume."""
    empty = {
        index for index in range(file.frame_count) if is_empty(file.pixels, file.header, index)
    }
    found = frame_placements(file.header, file.frame_count, empty)
    if found is None:
        return None
    digests = {index: pixel_digest(file, index) for index in sharing_a_place(found)}
    return tuple(
        dataclasses.replace(one, digest=digests.get(index, "")) for index, one in enumerate(found)
    )


def placement_of(file: DicomFile) -> Placement | None:
    """Where the slice of a file with one frame lies; None: it is no slice of a series."""
    if file.frame_count != 1:
        return None
    return placement(file.header, is_empty(file.pixels, file.header, 0))


def placement(header: pydicom.Dataset, empty: bool) -> Placement | None:
    """Where the one slice of a file lies; None: it is none, or names no series."""
    series = header.get("SeriesInstanceUID")
    if not series or not is_sliced(header):
        return None
    return _placement([header], header, str(series), empty)


def frame_placements(
    header: pydicom.Dataset, count: int, empty: set[int]
) -> tuple[Placement, ...] | None:
    """Where the frames of a file lie; None: they are no slices of a volume.

    Args:
        header: the file's.
        count: how many frames it has.
        empty: those whose pixels have one value.
    """
    own = header.get("PerFrameFunctionalGroupsSequence")
    if not own or len(own) != count:
        if not is_sliced(header):
            return None
        size = int(header.Rows), int(header.Columns)
        return tuple(
            Placement("", size, number=index, empty=index in empty) for index in range(count)
        )
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    if not is_sliced(header) and not all("PlanePositionSequence" in group for group in own):
        return None
    common = [item for group in shared for item in _items(group)]
    return tuple(
        _frame_placement(_items(group), common, header, index in empty, index)
        for index, group in enumerate(own)
    )


def _items(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The first item of each of a frame's functional groups, and of what these hold."""
    found: list[pydicom.Dataset] = []
    for element in group:
        if element.VR == "SQ" and element.value:
            found.append(element.value[0])
            found += _items(element.value[0])
    return found


def _frame_placement(
    own: list[pydicom.Dataset],
    common: list[pydicom.Dataset],
    header: pydicom.Dataset,
    empty: bool,
    index: int,
) -> Placement:
    """Of a frame with groups of its own. A position that all frames share says nothing."""
    found = _placement([*own, *common], header, "", empty)
    return dataclasses.replace(
        found,
        position=_numbers(_first(own, "ImagePositionPatient"), 3),
        location=None,
        number=index,
    )


def _placement(
    where: list[pydicom.Dataset], header: pydicom.Dataset, series: str, empty: bool
) -> Placement:
    orientation = _numbers(_first(where, "ImageOrientationPatient"), 6)
    if orientation and not _is_plane(orientation):
        orientation = ()
    number = _numbers(_first(where, "InstanceNumber"), 1)
    location = _numbers(_first(where, "SliceLocation"), 1)
    kind = _text(where, "ImageType").upper()
    # Some programs that remove names give the series of all patients one identifier.
    apart = (str(_first(where, name) or "") for name in _NOT_MIXED)
    localizer = _LOCALIZER if _LOCALIZER in kind.split() else ""
    return Placement(
        "|".join((series, *apart, localizer)),
        (int(header.Rows), int(header.Columns)),
        _numbers(_first(where, "PixelSpacing"), 2),
        orientation,
        _numbers(_first(where, "ImagePositionPatient"), 3),
        location[0] if location else None,
        int(number[0]) if number else None,
        "",
        (*(_text(where, name) for name in _PHASES), _private_b_value(header)),
        tuple(_text(where, name) for name in _TIMES),
        empty,
    )


def _first(where: list[pydicom.Dataset], name: str) -> Any:
    """The first value of this name that is there; None: there is none."""
    for held in where:
        try:
            value = held.get(name)
        except Exception:  # A damaged element raises anything.
            continue
        if value is not None and value != "":
            return value
    return None


def _text(where: list[pydicom.Dataset], name: str) -> str:
    return " ".join(map(str, _list(_first(where, name))))


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | MultiValue) else [value]


def _numbers(value: Any, count: int) -> tuple[float, ...]:
    """As many numbers that a place may have; none where they are not that."""
    try:
        found = tuple(float(one) for one in _list(value))
    except (TypeError, ValueError, OverflowError):
        return ()
    if len(found) != count or not all(abs(one) < _LARGEST for one in found):
        return ()
    return found


def _is_plane(orientation: tuple[float, ...]) -> bool:
    """Whether these are two directions, about of length 1 and at a right angle."""
    along, down = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    return bool(np.allclose(lengths, 1, atol=0.05) and abs(along @ down) < 0.05)


def _private_b_value(header: pydicom.Dataset) -> str:
    for tag in _PRIVATE_B_VALUES:
        try:
            value = header.get(tag)
        except Exception:
            continue
        if value is not None and not isinstance(value.value, bytes):
            return " ".join(map(str, _list(value.value)))
    return ""


def pixel_digest(file: DicomFile, index: int) -> str:
    """Of a frame's pixels as they are stored, and of what says how they are shown."""
    header, pixels = file.header, file.pixels
    shown = [str(header.file_meta.TransferSyntaxUID), *(str(header.get(name)) for name in _SHOWN)]
    digest = hashlib.blake2b("|".join(shown).encode(), digest_size=16)
    if pixels.missing(index):
        return ""
    if pixels.frames is not None:
        digest.update(pixels.compressed(index))
    else:
        whole = file.frame_size * int(header.get("SamplesPerPixel") or 1) * header.BitsAllocated
        pixels.stream.seek(pixels.offset + index * whole // 8)
        digest.update(pixels.stream.read(-(-whole // 8)))
    return digest.hexdigest()


def is_empty(pixels: PixelData, header: pydicom.Dataset, index: int) -> bool:
    """Whether all pixels of a frame have one value. Few frames are decoded to know that."""
    bits, samples = int(header.BitsAllocated), int(header.get("SamplesPerPixel") or 1)
    if bits not in (8, 16, 32) or pixels.missing(index):
        return False
    whole = int(header.Rows) * int(header.Columns) * samples * bits // 8
    if pixels.frames is not None:
        if sum(part.length for part in pixels.frames[index]) > _MOST_OF_EMPTY * whole:
            return False
        try:
            values, _ = decode(pixels.compressed(index), header)
        except Exception:  # Reading the image gives the reason.
            return False
        return bool(values.min() == values.max())
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":
        return False
    start, step = pixels.offset + index * whole, bits // 8
    kind = f"{'<' if header.file_meta.TransferSyntaxUID.is_little_endian else '>'}u{step}"
    for first, length in ((whole // 2 // step * step, _PROBE_BYTES), (0, whole)):
        pixels.stream.seek(start + first)
        content = pixels.stream.read(min(length, whole - first))
        held = np.frombuffer(content[: len(content) // step * step], kind)
        # Bits beyond those that are stored may hold an overlay.
        if held.size and (stored_bits(held, header) != stored_bits(held[:1], header)).any():
            return False
    return True
