"""What the header of an image file says of the patient, the study, the series and the scanner."""

import dataclasses

# Of a file, so many bytes hold what is read here, unless an element before it is very long.
HEADER_BYTES = 2**17


@dataclasses.dataclass(frozen=True)
class HeaderIdentity:
    """Texts of one file's header; "" and (): it does not say.

    Attributes:
        patient: what tells this patient from all others: the identifier and who issued it, else the
            name and the date of birth.
        study, series: their unique identifiers.
        modality: such as CT.
        scanner: manufacturer and model.
        burned_in: whether text is part of the pixels: YES or NO.
        recognizable: whether a face or the like can be recognised: YES or NO.
        people: names of the patient, of physicians and of operators.
        identifiers: of the patient, the admission, the request and the study.
        unique_identifiers: of the study, the series and the image.
        birth_dates: as YYYYMMDD.
        places: names and addresses of institutions.
    """

    patient: str = ""
    study: str = ""
    series: str = ""
    modality: str = ""
    scanner: str = ""
    burned_in: str = ""
    recognizable: str = ""
    people: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    unique_identifiers: tuple[str, ...] = ()
    birth_dates: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
