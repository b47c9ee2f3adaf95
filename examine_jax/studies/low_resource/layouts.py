"""Labels and groups from the names of files, for the study's sets as their authors hand them out."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.images import load_images
from examine_jax.studies.examine.sets import LabelledImages

# (class, group or None: not known) of a file, or None: not one of the set's.
Reader = Callable[[str], tuple[str, str | None] | None]

_SLIDE = re.compile(r"SOB_[BM]_[A-Z]+-(\d+-[^-/]+)-(\d+)-\d+[^/]*$")
_PERSON = re.compile(r"person(\d+)_")
_STUDY = re.compile(r"((?:NORMAL2-)?IM-\d+)-")
_PATIENT = re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(\d+)-")


def breast(name: str) -> tuple[str, str | None] | None:
    """BreaKHis (Spanhol et al. 2016) at 400x: .../SOB_B_A_14-22549AB/400X/SOB_B_A-14-22549AB-400-001.png; groups are its slides."""
    found = _SLIDE.search(name)
    if found is None or found.group(2) != "400":
        return None
    return ("benign" if name[found.start() :].startswith("SOB_B") else "malignant"), found.group(1)


def pneumonia(name: str) -> tuple[str, str | None] | None:
    """Kermany et al. 2018: .../NORMAL/IM-0115-0001.jpeg and .../PNEUMONIA/person1_bacteria_1.jpeg; groups are its persons.

    Normal images have no person in their names there: those of one study number (IM-0115) are taken together. A later release names each
    file by its patient: .../NORMAL/NORMAL-1049278-0001.jpeg, .../PNEUMONIA/BACTERIA-1135262-0002.jpeg, VIRUS-....
    """
    path = pathlib.PurePosixPath(name)
    if path.parent.name not in ("NORMAL", "PNEUMONIA"):
        return None
    found = (("person ", _PERSON), ("", _STUDY), ("patient ", _PATIENT))
    groups = [kind + match.group(1) for kind, pattern in found if (match := pattern.match(path.name))]
    return path.parent.name.lower(), groups[0] if groups else None


def colorectal(name: str) -> tuple[str, str | None] | None:
    """Kather et al. 2016: .../01_TUMOR/*.tif; no patient is known."""
    parent = pathlib.PurePosixPath(name).parent.name
    return (parent, None) if re.fullmatch(r"0[1-8]_[A-Z]+", parent) else None


LAYOUTS: dict[str, Reader] = {"breast": breast, "pneumonia": pneumonia, "colorectal": colorectal}


def read_official(
    folder: str,
    layout: str,
    *,
    image_size: int,
    channels: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """A set of the study in its authors' folders; files that the layout does not know are left out.

    Where the name of a file does not tell its group, the file is a group of its own; where none does, no groups are known.

    Raises:
        ValueError: an unknown layout; no file, or files of one class only, in that layout. OSError: as `load_images`.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"no layout is named {layout!r}; there are: {', '.join(LAYOUTS)}")
    found = load_images(folder, image_size=image_size, channels=channels, on_progress=on_progress)
    told = [LAYOUTS[layout](name) for name in found.names]
    rows = [row for row, one in enumerate(told) if one is not None]
    classes, labels = _numbered([one[0] for one in told if one is not None])
    if len(classes) < 2:
        raise ValueError(
            f"{folder} has {len(rows)} of {len(told)} images in the {layout} set's layout and {len(classes)} classes; "
            "name its official folder, or give the labels in a CSV file"
        )
    taken = found.take(rows)
    known = [one[1] for one in told if one is not None]
    groups = None
    if any(group is not None for group in known):
        _, groups = _numbered([name if group is None else group for name, group in zip(taken.names, known)])
    return LabelledImages(taken.names, taken.pixels, labels, classes, groups, len(found.skipped))


def _numbered(values: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    names = tuple(sorted(set(values)))
    number = {name: index for index, name in enumerate(names)}
    return names, np.array([number[value] for value in values], np.int64)


def describe(images: LabelledImages) -> "SetDescription":
    counts = np.bincount(images.labels, minlength=len(images.classes))
    groups = None if images.groups is None else len(np.unique(images.groups))
    return SetDescription(
        len(images.names), dict(zip(images.classes, map(int, counts), strict=True)), groups, images.skipped
    )


@dataclasses.dataclass(frozen=True)
class SetDescription:
    """Of a set, for its reader: images a class, groups (None: none known), files that could not be read."""

    images: int
    classes: dict[str, int]
    groups: int | None
    skipped: int
