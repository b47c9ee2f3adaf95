"""Tiny whole slides as DICOM files, of which openslide reads one series as one slide."""

import io
import pathlib
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

PATIENT = "Secret^Name"


def save_dicom_slide(
    path: pathlib.Path,
    pixels: np.ndarray,
    series: str = "1.2.9",
    mpp: float = 0.5,
    kind: str = "VOLUME",
    number: int = 1,
    tile: int = 64,
) -> pathlib.Path:
    """One file of a slide: a level, or its LABEL, OVERVIEW or THUMBNAIL."""
    height, width = pixels.shape[:2]
    frames = []
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            part = pixels[top : top + tile, left : left + tile]
            frame = np.full((tile, tile, 3), 255, np.uint8)
            frame[: part.shape[0], : part.shape[1]] = part
            stream = io.BytesIO()
            Image.fromarray(frame).save(stream, "JPEG", quality=95, subsampling=0)
            frames.append(stream.getvalue())
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = f"{series}.{number}"
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    spacing, shared = Dataset(), Dataset()
    spacing.PixelSpacing = [mpp / 1000, mpp / 1000]
    shared.PixelMeasuresSequence = [spacing]
    resampled = number > 1
    fields: dict[str, Any] = {
        "SOPClassUID": VLWholeSlideMicroscopyImageStorage,
        "SOPInstanceUID": f"{series}.{number}",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": series,
        "FrameOfReferenceUID": "1.2.4",
        "Modality": "SM",
        "PatientName": PATIENT,
        "InstanceNumber": number,
        "ImageType": [
            "DERIVED" if resampled else "ORIGINAL",
            "PRIMARY",
            kind,
            "RESAMPLED" if resampled else "NONE",
        ],
        "Rows": tile,
        "Columns": tile,
        "NumberOfFrames": len(frames),
        "TotalPixelMatrixRows": height,
        "TotalPixelMatrixColumns": width,
        "DimensionOrganizationType": "TILED_FULL",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "YBR_FULL_422",
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "SharedFunctionalGroupsSequence": [shared],
        "PixelData": encapsulate(frames),
    }
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for name, value in fields.items():
        setattr(file, name, value)
    file["PixelData"].VR = "OB"
    file.save_as(str(path), enforce_file_format=True)
    return path
