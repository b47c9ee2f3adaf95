"""Chest radiographs of children, normal or with pneumonia; groups are persons."""

import pathlib
import re

_PERSON = re.compile(r"person(\d+)_")
_STUDY = re.compile(r"((?:NORMAL2-)?IM-\d+)-")
_PATIENT = re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(\d+)-")


def pneumonia(name: str) -> tuple[str, str | None] | None:
    """A `FileNameLayout`: .../NORMAL/IM-0115-0001.jpeg and .../PNEUMONIA/person1_bacteria_1.jpeg.

    Normal images name no person: those of one study number (IM-0115) form a group. A later release
    names each file by its
    patient: .../NORMAL/NORMAL-1049278-0001.jpeg, .../PNEUMONIA/BACTERIA-1135262-0002.jpeg,
        VIRUS-....

    Source: Kermany et al. 2018.
    """
    path = pathlib.PurePosixPath(name)
    if path.parent.name not in ("NORMAL", "PNEUMONIA"):
        return None
    found = (("person ", _PERSON), ("", _STUDY), ("patient ", _PATIENT))
    groups = [
        kind + match.group(1) for kind, pattern in found if (match := pattern.match(path.name))
    ]
    return path.parent.name.lower(), groups[0] if groups else None
