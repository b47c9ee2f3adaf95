"""Labels and groups from file names, for the study's sets in their authors' folders."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.images import load_images
from examine_jax.studies.common.labelled_images import LabelledImages

# From a file's name to its class and its group (None: unknown); None if the file is not part of the set.
Reader = Callable[[str], tuple[str, str | None] | None]

_SLIDE = re.compile(r"SOB_[BM]_[A-Z]+-(\d+-[^-/]+)-(\d+)-\d+[^/]*$")
_PERSON = re.compile(r"person(\d+)_")
_STUDY = re.compile(r"((?:NORMAL2-)?IM-\d+)-")
_PATIENT = re.compile(r"(?:NORMAL|BACTERIA|VIRUS)-(\d+)-")


def breast(name: str) -> tuple[str, str | None] | None:
    """BreaKHis (Spanhol et al. 2016) at 400x: .../SOB_B_A_14-22549AB/400X/SOB_B_A-14-22549AB-400-001.png; its groups are slides."""
    found = _SLIDE.search(name)
    if found is None or found.group(2) != "400":
        return None
    return ("benign" if name[found.start() :].startswith("SOB_B") else "malignant"), found.group(1)


def pneumonia(name: str) -> tuple[str, str | None] | None:
    """Kermany et al. 2018: .../NORMAL/IM-0115-0001.jpeg and .../PNEUMONIA/person1_bacteria_1.jpeg; its groups are persons.

    Normal images name no person: those of one study number (IM-0115) form a group. A later release names each file by its
    patient: .../NORMAL/NORMAL-1049278-0001.jpeg, .../PNEUMONIA/BACTERIA-1135262-0002.jpeg, VIRUS-....
    """
    path = pathlib.PurePosixPath(name)
    if path.parent.name not in ("NORMAL", "PNEUMONIA"):
        return None
    found = (("person ", _PERSON), ("", _STUDY), ("patient ", _PATIENT))
    groups = [kind + match.group(1) for kind, pattern in found if (match := pattern.match(path.name))]
    return path.parent.name.lower(), groups[0] if groups else None


def colorectal(name: str) -> tuple[str, str | None] | None:
    """Kather et al. 2016: .../01_TUMOR/*.tif; no patients are known."""
    parent = pathlib.PurePosixPath(name).parent.name
    return (parent, None) if re.fullmatch(r"0[1-8]_[A-Z]+", parent) else None


LAYOUTS: dict[str, Reader] = {"breast": breast, "pneumonia": pneumonia, "colorectal": colorectal}


def read_authors_folder(
    folder: str,
    layout: str,
    *,
    image_size: int,
    channels: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """Reads a set of the study from its authors' folders; other files in them are left out.

    A file whose name does not contain its group is its own group; if no name does, no groups are known.

    Raises:
        ValueError: the layout is unknown, or fits no file, or files of one class only.
        OSError: as `load_images`.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"no layout is named {layout!r}; there are: {', '.join(LAYOUTS)}")
    found = load_images(folder, image_size=image_size, channels=channels, on_progress=on_progress)
    known_files = [LAYOUTS[layout](name) for name in found.names]
    rows = [row for row, one in enumerate(known_files) if one is not None]
    classes, labels = _numbered([one[0] for one in known_files if one is not None])
    if len(classes) < 2:
        raise ValueError(
            f"{folder} has {len(rows)} of {len(known_files)} images in the {layout} set's layout and {len(classes)} classes; "
            "name its official folder, or give the labels in a CSV file"
        )
    taken = found.take(rows)
    groups_of = [one[1] for one in known_files if one is not None]
    groups = None
    if any(group is not None for group in groups_of):
        _, groups = _numbered([name if group is None else group for name, group in zip(taken.names, groups_of)])
    return LabelledImages(taken.names, taken.pixels, labels, classes, groups, len(found.skipped))


def _numbered(values: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    names = tuple(sorted(set(values)))
    number = {name: index for index, name in enumerate(names)}
    return names, np.array([number[value] for value in values], np.int64)


def describe(images: LabelledImages) -> "SetDescription":
    """Counts a set's images, classes and groups."""
    counts = np.bincount(images.labels, minlength=len(images.classes))
    groups = None if images.groups is None else len(np.unique(images.groups))
    return SetDescription(
        len(images.names), dict(zip(images.classes, map(int, counts), strict=True)), groups, images.skipped
    )


@dataclasses.dataclass(frozen=True)
class SetDescription:
    """A set in numbers.

    Attributes:
        images: how many there are.
        classes: images by class.
        groups: how many there are; None: none are known.
        skipped: files that could not be read.
    """

    images: int
    classes: dict[str, int]
    groups: int | None
    skipped: int
