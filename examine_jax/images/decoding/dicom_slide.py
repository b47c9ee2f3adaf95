"""Which DICOM files make a whole slide: its levels, and its label and overview, which are not read.

openslide puts the files of one series in one folder together by itself, whichever it is given.
"""

import pydicom


def slide_part(path: str) -> tuple[str, str]:
    """The series of a file of a whole slide, and what it holds: `DICOM_LEVEL`, LABEL, ....

    Raises:
        Exception: it is damaged; any kind.
    """
    header = pydicom.dcmread(
        path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "ImageType"]
    )
    kinds = header.get("ImageType") or []
    kind = str(kinds[2]) if not isinstance(kinds, str) and len(kinds) > 2 else ""
    return str(header.get("SeriesInstanceUID", "")), kind.upper()
