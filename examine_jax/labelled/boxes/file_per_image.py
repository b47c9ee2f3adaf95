"""Folders with a file an image."""

import os
import pathlib
import re
from collections.abc import Iterator, Sequence

_SUFFIX = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,5}$")  # not the end of an id such as 1.2.840


def listed_files(path: str | os.PathLike[str], suffix: str) -> list[pathlib.Path]:
    """The files with this suffix in a folder and its sub-folders, in order; or one file alone.

    Raises:
        ValueError: there is none.
        OSError: the folder cannot be read.
    """
    place = pathlib.Path(path)
    if not place.is_dir():
        os.stat(place)
        return [place]
    found = [
        pathlib.Path(folder, name)
        for folder, _, names in os.walk(place, onerror=_raise)
        for name in names
        if name.lower().endswith(suffix) and not name.startswith(".")
    ]
    if not found:
        raise ValueError(f"{place}: no {suffix} files in this folder")
    return sorted(found)


def files_by_image(
    folder: str | os.PathLike[str], images: Sequence[str], suffix: str
) -> Iterator[pathlib.Path]:
    """The file of each image in a folder, under the image's name with another suffix.

    Sub-folders are made.

    Raises:
        ValueError: two images would have one file; a name leads out of the folder.
        OSError: a folder cannot be made.
    """
    top = pathlib.Path(folder)
    if not top.is_dir():
        raise ValueError(f"{top}: name a folder that exists; this format has a file an image")
    taken: dict[pathlib.PurePosixPath, str] = {}
    for image in images:
        path = pathlib.PurePosixPath(image)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise ValueError(f"the image {image!r} lies outside the folder of images")
        own = path.with_name(_SUFFIX.sub("", path.name) + suffix)
        if own in taken:
            raise ValueError(
                f"the images {taken[own]!r} and {image!r} would both have the file {own}: rename "
                "one, or write another format"
            )
        taken[own] = image
    for own in taken:
        (top / own).parent.mkdir(parents=True, exist_ok=True)
        yield top / own


def _raise(error: OSError) -> None:
    raise error
