"""Reads from a DICOM header whose image it is, on what scanner it was made, and who is named in it.

Reads the beginning of the header alone. Objects without pixels and damaged files have a header too.
"""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pydicom
from pydicom.filereader import read_partial
from pydicom.tag import Tag

from examine_jax.images.decoding.dicom import check_deflated
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.decoding.unreadable import UnreadableImage

_PEOPLE = (
    "PatientName",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "ResponsiblePerson",
    "ReferringPhysicianName",
    "ConsultingPhysicianName",
    "PhysiciansOfRecord",
    "PerformingPhysicianName",
    "NameOfPhysiciansReadingStudy",
    "OperatorsName",
    "RequestingPhysician",
)
_IDENTIFIERS = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "StudyID",
    "AdmissionID",
    "RequestedProcedureID",
    "ScheduledProcedureStepID",
    "PerformedProcedureStepID",
    "MedicalRecordLocator",
)
_UNIQUE = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_PLACES = ("InstitutionName", "InstitutionAddress", "PatientAddress", "InstitutionalDepartmentName")
_OTHERS = (
    "SpecificCharacterSet",
    "IssuerOfPatientID",
    "OtherPatientIDsSequence",
    "PatientBirthDate",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "BurnedInAnnotation",
    "RecognizableVisualFeatures",
)
_NAMES = (*_PEOPLE, *_IDENTIFIERS, *_UNIQUE, *_PLACES, *_OTHERS)
_TAGS: list[Any] = [Tag(name) for name in _NAMES]
_LAST = max(_TAGS)
# What stands in place of a name or an identifier, and tells no patient from another.
_PLACEHOLDERS = frozenset(
    {
        *("anon", "anonymous", "anonymised", "anonymized", "deidentified", "de-identified"),
        *("unknown", "unnamed", "none", "null", "n/a", "na", "no id", "no name", "removed", "-"),
    }
)


def read_identity(stream: BinaryIO, max_bytes: int, *, whole: bool = True) -> HeaderIdentity:
    """Reads a DICOM file's header as far as it names people, identifiers and the scanner.

    Args:
        stream: the file, or its beginning.
        max_bytes: deflated files that have more when inflated are refused.
        whole: the stream has the file to its end.

    Raises:
        UnreadableImage: the header cannot be read, for any reason, or goes on after the stream.
    """
    reached = False

    def is_later(tag: Any, *_: Any) -> bool:
        nonlocal reached
        reached = tag > _LAST
        return reached

    try:
        check_deflated(stream, max_bytes)
        stream.seek(0)
        header = read_partial(stream, is_later, force=True, specific_tags=_TAGS)
    except UnreadableImage:
        raise
    except Exception as error:  # Damaged headers raise anything.
        raise UnreadableImage(f"its header cannot be read ({type(error).__name__})") from error
    if not reached and not whole:
        raise UnreadableImage("its header is longer than the part that was read")
    return identity_of(header)


def identity_of(header: pydicom.Dataset) -> HeaderIdentity:
    """What a header says. An element that cannot be decoded counts as one that is not there."""
    people = tuple(dict.fromkeys(_texts(header, _PEOPLE)))
    others = [
        text
        for item in _value(header, "OtherPatientIDsSequence") or ()
        for text in _texts(item, ("PatientID",))
    ]
    return HeaderIdentity(
        patient=_patient(header),
        study=_text(header, "StudyInstanceUID"),
        series=_text(header, "SeriesInstanceUID"),
        modality=_text(header, "Modality").upper(),
        scanner=" ".join(
            text
            for name in ("Manufacturer", "ManufacturerModelName")
            if (text := _text(header, name))
        ),
        burned_in=_text(header, "BurnedInAnnotation").upper(),
        recognizable=_text(header, "RecognizableVisualFeatures").upper(),
        people=people,
        identifiers=tuple(dict.fromkeys((*_texts(header, _IDENTIFIERS), *others))),
        unique_identifiers=tuple(dict.fromkeys(_texts(header, _UNIQUE))),
        birth_dates=tuple(dict.fromkeys(_texts(header, ("PatientBirthDate",)))),
        places=tuple(dict.fromkeys(_texts(header, _PLACES))),
    )


def _patient(header: pydicom.Dataset) -> str:
    identifier = _text(header, "PatientID")
    if identifier and identifier.casefold() not in _PLACEHOLDERS:
        issuer = _text(header, "IssuerOfPatientID")
        return f"{identifier} of {issuer}" if issuer else identifier
    # Scanners write one name with and without the empty parts at its end, and in either case.
    name = "^".join(part.strip() for part in _text(header, "PatientName").split("^")).strip("^= ")
    if not name or name.replace("^", " ").strip().casefold() in _PLACEHOLDERS:
        return ""
    born = _text(header, "PatientBirthDate")
    return f"named {name.casefold()}" + (f", born {born}" if born else "")


def _texts(header: pydicom.Dataset, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        value = _value(header, name)
        many = value if isinstance(value, pydicom.multival.MultiValue | list | tuple) else [value]
        for one in many:
            if one is not None and (text := _stripped(one)):
                yield text


def _text(header: pydicom.Dataset, name: str) -> str:
    return "\\".join(_texts(header, [name]))


def _value(header: pydicom.Dataset, name: str) -> Any:
    try:
        return header.get(name)
    except Exception:  # An element that its representation does not allow.
        return None


def _stripped(value: Any) -> str:
    return str(value).replace("\0", " ").strip()
