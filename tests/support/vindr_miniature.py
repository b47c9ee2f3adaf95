"""VinDr-CXR in miniature, in its official layout: DICOM files and three readers' boxes."""

import csv
import pathlib
import zlib

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CLASSES = ("Cardiomegaly", "Nodule/Mass", "Pneumothorax")
READERS = ("R8", "R9", "R10")


def image_id(number: int) -> str:
    return f"{zlib.crc32(str(number).encode()):08x}{number:024x}"


def write_dicom(path: pathlib.Path, pixels: np.ndarray, *, inverted: bool) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{zlib.crc32(path.stem.encode())}"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = (4095 - pixels if inverted else pixels).astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)


def vindr(folder: pathlib.Path, num_images: int = 40) -> None:
    """Writes train/*.dicom and annotations/annotations_train.csv.

    A bright square a lesion; each reader's box is a little off, and some readers miss it. Every
    eighth image is "No finding" for all.
    """
    rng = np.random.default_rng(0)
    (folder / "train").mkdir(parents=True)
    (folder / "annotations").mkdir()
    rows: list[list[object]] = []
    for number in range(num_images):
        name = image_id(number)
        height, width = int(rng.integers(90, 130)), int(rng.integers(90, 130))
        pixels = rng.integers(200, 900, (height, width))
        lesions = []
        for _ in range(0 if number % 8 == 7 else rng.integers(1, 3)):
            label = int(rng.choice(3, p=[0.5, 0.35, 0.15]))
            side = 26 + 12 * label
            x, y = (int(rng.integers(0, limit - side)) for limit in (width, height))
            pixels[y : y + side, x : x + side] = 2200 + 700 * label
            lesions.append((label, x, y, side))
        write_dicom(folder / "train" / f"{name}.dicom", pixels, inverted=number % 5 == 0)
        for place, reader in enumerate(READERS):
            drawn = []
            for number_of, (label, x, y, side) in enumerate(lesions):
                if (number + place + number_of) % 5 == 0 and place:
                    continue
                moved = np.array([x, y, x + side, y + side]) + rng.integers(-3, 4, 4)
                moved = np.clip(moved, 0, [width, height, width, height])
                drawn.append([name, reader, CLASSES[label], *moved.tolist()])
            rows += drawn or [[name, reader, "No finding", "", "", "", ""]]
    header = ["image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max"]
    with (folder / "annotations" / "annotations_train.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
