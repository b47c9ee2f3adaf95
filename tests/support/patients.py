"""Two patients' DICOM files of five modalities, whose paths name the patients too."""

import dataclasses
import pathlib
import zipfile

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

MODALITIES = ("CT", "MR", "US", "PT")
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclasses.dataclass(frozen=True)
class Patient:
    """What the headers say of a patient."""

    name: str
    identifier: str
    born: str
    accession: str
    folder: str

    def uid(self, *parts: int) -> str:
        """A unique identifier of the patient's: study, series or image."""
        return ".".join(map(str, ("1.2.826.0.1.3680043.9999", self.identifier[-3:], *parts)))


PATIENTS = (
    Patient(
        "Zwiebelmann^Hanna", "QX-70812", "19470911", "ACC55170", "Zwiebelmann, Hanna 11.09.1947"
    ),
    Patient("Ó Briain^Séamus", "0099100234", "19850230", "ACC55171", "o_briain-QX"),
)
INSTITUTION, PHYSICIAN = "Kreisklinik Obertal", "Quacksalber^Ottokar"

# Texts of the headers that must not reach any output, in lower case.
SECRETS = (
    *("zwiebelmann", "hanna", "qx-70812", "qx70812", "briain", "séamus", "seamus", "0099100234"),
    *("99100234", "19470911", "11.09.1947", "19850230", "acc5517", "kreisklinik", "obertal"),
    *("quacksalber", "ottokar", "1.2.826.0.1.3680043.9999"),
)


def write_patients(root: pathlib.Path, *, slices: int = 2) -> tuple[str, ...]:
    """Writes the tree and returns the names of its images, in order."""
    generator = np.random.default_rng(0)
    names = []
    for patient in PATIENTS:
        for number, modality in enumerate((*MODALITIES, "SEG")):
            for index in range(slices if modality in MODALITIES else 1):
                name = f"{patient.folder}/{modality}/{patient.uid(1, number, index)}"
                pixels = generator.integers(0, 4096, (20 + 4 * number, 24), np.uint16)
                _write(root / name, patient, modality, (number, index), pixels)
                if modality in MODALITIES:
                    names.append(name)
    return tuple(sorted(names))


def zipped(folder: pathlib.Path, archive: pathlib.Path) -> None:
    """Writes a folder's files into an archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                stream.write(file, file.relative_to(folder).as_posix())


def _write(
    path: pathlib.Path,
    patient: Patient,
    modality: str,
    place: tuple[int, int],
    pixels: np.ndarray,
) -> None:
    series, image = place
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = SEGMENTATION if modality == "SEG" else CAPTURE
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = patient.uid(1, series, image)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.SpecificCharacterSet = "ISO_IR 192"
    data.StudyInstanceUID, data.SeriesInstanceUID = patient.uid(1), patient.uid(1, series)
    data.PatientName, data.PatientID = patient.name, patient.identifier
    data.PatientBirthDate, data.AccessionNumber = patient.born, patient.accession
    data.InstitutionName, data.ReferringPhysicianName = INSTITUTION, PHYSICIAN
    data.Modality, data.Manufacturer, data.ManufacturerModelName = modality, "Maker", f"M{series}"
    data.BurnedInAnnotation = "YES" if modality == "US" else "NO"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = pixels.astype("<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
