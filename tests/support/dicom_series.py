"""Small DICOM series made from nothing."""

import pathlib
import struct
import zlib
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def slice_of(values: np.ndarray, position: Any, **changes: Any) -> FileDataset:
    """A CT slice with a window from -1000 to 1000; a change to None leaves the element out."""
    number = changes.get("InstanceNumber", 1)
    unique = UID(f"1.2.826.0.1.3680043.10.2.{zlib.crc32(str((position, number)).encode())}")
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, unique
    dataset = FileDataset("", {}, file_meta=meta, preamble=128 * b"\0")
    elements: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": unique,
        "Modality": "CT",
        "PatientID": "P",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.5",
        "InstanceNumber": number,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": None if position is None else list(position),
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 2,
        "Rows": values.shape[-2],
        "Columns": values.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "WindowCenter": 0,
        "WindowWidth": 2000,
        "PixelData": values.astype("<i2").tobytes(),
    }
    for name, value in (elements | changes).items():
        if value is not None:
            setattr(dataset, name, value)
    dataset["PixelData"].VR = "OW"
    return dataset


def with_odd_position(path: pathlib.Path, text: bytes) -> None:
    """Replaces the position in a file by text of the same length, which may be no numbers."""
    content = path.read_bytes()
    start = content.index(b"\x20\x00\x32\x00DS") + 8
    (length,) = struct.unpack("<H", content[start - 2 : start])
    path.write_bytes(content[:start] + text.ljust(length)[:length] + content[start + length :])


def volume(slices: int = 5, rows: int = 7, columns: int = 9, seed: int = 0) -> np.ndarray:
    """Values of a volume [slices, rows, columns]."""
    generator = np.random.default_rng(seed)
    return generator.integers(-900, 900, (slices, rows, columns)).astype(np.int16)


def write_series(
    folder: pathlib.Path,
    values: np.ndarray,
    order: Any = None,
    spacing: float = 2.0,
    orientation: Any = AXIAL,
    **changes: Any,
) -> list[Dataset]:
    """Writes slices IM00.dcm, IM01.dcm, ...; `order[i]` is the place of the i-th file.

    Slice k lies k * spacing along the normal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    written = []
    for file, place in enumerate(range(len(values)) if order is None else order):
        position = [float(one) for one in np.array([-10, 20, 30]) + place * spacing * normal]
        dataset = slice_of(
            values[place],
            position,
            **{"InstanceNumber": file + 1, "ImageOrientationPatient": list(orientation)} | changes,
        )
        dataset.save_as(folder / f"IM{file:02}.dcm", enforce_file_format=True)
        written.append(dataset)
    return written


def enhanced(
    values: np.ndarray, positions: Any, frame_items: Any = None, **changes: Any
) -> Dataset:
    """A multi-frame file [frames, rows, columns] whose frames have positions of their own."""
    first = slice_of(values[0], None, ImageOrientationPatient=None, **changes)
    first.NumberOfFrames = len(values)
    first.PixelData = values.astype("<i2").tobytes()
    first["PixelData"].VR = "OW"
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(AXIAL)
    measures.PixelSpacing = [0.5, 0.75]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    first.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for frame, position in enumerate(positions):
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = [float(one) for one in position]
        group.PlanePositionSequence = [place]
        for name, item in (frame_items[frame] if frame_items else {}).items():
            inner = Dataset()
            for keyword, value in item.items():
                setattr(inner, keyword, value)
            setattr(group, name, [inner])
        groups.append(group)
    first.PerFrameFunctionalGroupsSequence = groups
    return first
