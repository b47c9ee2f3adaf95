"""Groups of images that their headers tell: those of one patient, study or series."""

import os
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from examine_jax.common.shapes import Int, Shaped
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.header_identities import identity_of_image, read_headers
from examine_jax.images.names import file_and_place
from examine_jax.labelled.name_groups import groups_by_name

GroupBy = Literal["patient", "study", "series", "folder", "file"]
HEADER_GROUPS = ("patient", "study", "series")

# (kind, identifier) -> what stands for it.
Token = Callable[[str, str], str]


def header_column(identities: Sequence[HeaderIdentity | None], by: str, token: Token) -> list[str]:
    """The patient, study or series of each image as results show it; "": its header has none.

    Args:
        identities: of the images.
        by: "patient", "study" or "series".
        token: makes what stands for an identifier.
    """
    known: dict[str, str] = {"": ""}
    column = []
    for identity in identities:
        value = "" if identity is None else getattr(identity, by)
        if value not in known:
            known[value] = token(by, value)
        column.append(known[value])
    return column


def groups_by_header(
    column: Sequence[str], names: Sequence[str], by: str
) -> tuple[Shaped[np.ndarray, " images"], tuple[str, ...]]:
    """The group of each image, and notes for the user, one line each.

    An image without a patient, study or series is a group of its own; so are the slices of one
    volume, the tiles of one slide and the frames of one file.

    Args:
        column: as `header_column` gives it.
        names: of the images.
        by: "patient", "study" or "series".

    Raises:
        ValueError: no image has such a header, or all are one group.
    """
    if not any(column):
        raise ValueError(
            f"group_by={by} reads the headers of DICOM files, and none of these {len(names)} "
            f"images has one that names its {by}: give group_by=folder or file, or a table of "
            "groups"
        )
    groups = [value or file_and_place(name)[0] for value, name in zip(column, names, strict=True)]
    if len(names) > 1 and len(set(groups)) == 1:
        raise ValueError(
            f"group_by={by}: all images are of one {by}; leave it out, or give a table of groups"
        )
    missing = sum(not value for value in column)
    notes = []
    if missing:
        notes.append(
            f"{missing:,} of {len(names):,} images have no header that names their {by}: each of "
            "their files is a group of its own"
        )
    return np.array(groups, dtype=str), tuple(notes)


def groups_of_images(
    by: GroupBy,
    names: Sequence[str] | None,
    column: Callable[[str], Sequence[str] | None],
) -> tuple[Shaped[np.ndarray, " images"], tuple[str, ...]]:
    """The group of each image by name or by header, and notes for the user.

    Args:
        by: what images of one group share.
        names: of the images; None: they have none.
        column: "patient", "study" or "series" -> it, of each image; None: it is not known.

    Raises:
        ValueError: as `groups_by_name` and `groups_by_header`; or no column is known.
    """
    if by in ("folder", "file"):
        return groups_by_name(names, by), ()
    found = column(by)
    if found is None or names is None:
        raise ValueError(
            f"group_by={by} needs a column {by!r} beside the images' names, as launch.embed "
            "writes it from DICOM headers: embed the images again, or give a table of groups"
        )
    return groups_by_header(found, names, by)


def group_codes_of(
    source: str | os.PathLike[str], names: Sequence[str], by: GroupBy
) -> Int[np.ndarray, " images"]:
    """The group of each image of a source, as numbers; what tells the groups stays out of results.

    Args:
        source: of the images, as in `load_images`.
        names: of the images.
        by: what images of one group share.

    Raises:
        ValueError: as `groups_of_images`.
        OSError: the source cannot be listed.
    """

    def column(field: str) -> list[str]:
        found = read_headers(source).identities
        identities = [identity_of_image(found, name) for name in names]
        return header_column(identities, field, lambda _, identifier: identifier)

    groups, _ = groups_of_images(by, names, column)
    return np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
