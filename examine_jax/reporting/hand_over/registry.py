"""All formats in which the chosen images are handed over, by name, and what writes them."""

import pathlib
from collections.abc import Collection
from typing import Protocol

from examine_jax.reporting.hand_over.chosen import ChosenImages
from examine_jax.reporting.hand_over.fiftyone import FiftyOne
from examine_jax.reporting.hand_over.label_studio import LabelStudio
from examine_jax.reporting.hand_over.pictures import (
    check_pictures,
    remove_pictures,
    write_pictures,
)
from examine_jax.reporting.hand_over.plain_list import PlainList

PNG = "png"


class HandOver(Protocol):
    """A format that lists the chosen images. A new one is a file and a line in `FORMATS`.

    Attributes:
        needs_files: whether it points to a file of each image.
    """

    @property
    def needs_files(self) -> bool: ...

    def write(self, workdir: pathlib.Path, chosen: ChosenImages) -> None:
        """Writes the format's files into the workdir."""
        ...

    def remove(self, workdir: pathlib.Path) -> None:
        """Removes the files that an earlier run wrote."""
        ...


FORMATS: dict[str, HandOver] = {
    "list": PlainList(),
    "label_studio": LabelStudio(),
    "fiftyone": FiftyOne(),
}
NAMES = (*FORMATS, PNG)


def hand_over(
    workdir: pathlib.Path,
    chosen: ChosenImages | None,
    formats: Collection[str] | None = None,
    *,
    keep_originals: bool = False,
) -> tuple[str, ...]:
    """Writes the chosen images in some formats, and removes lists of other formats.

    Such a list of an earlier run might name other images. Pictures of an earlier run that have
    another number now are removed. Files that no run wrote stay as they are.

    A format that points to files gets pictures (`png`) too if some images have no file of their own
    that a browser can show.

    Args:
        workdir: an existing folder.
        chosen: the images; None: nothing is written.
        formats: names of `FORMATS`, and "png" for a folder of pictures. None: "list", and
            "label_studio" if it needs no pictures.
        keep_originals: the folder gets the images' own files instead of pictures.

    Returns:
        The formats that were written.

    Raises:
        ValueError: as `check_pictures`.
        OSError: a file cannot be written.
    """
    asked: set[str] = set()
    points = False
    if chosen is not None:
        light = {name for name, one in FORMATS.items() if not one.needs_files}
        if chosen.are_shown:
            light.add("label_studio")
        asked = light if formats is None else set(formats)
        points = any(name in asked and one.needs_files for name, one in FORMATS.items())
        if keep_originals or (points and not chosen.are_shown):
            asked.add(PNG)
        check_pictures(workdir, chosen, asked=PNG in asked)
    if chosen is not None and PNG in asked:
        chosen = write_pictures(workdir, chosen, keep_originals=keep_originals, shown=points)
    else:
        remove_pictures(workdir, chosen)
    for name, one in FORMATS.items():
        if chosen is not None and name in asked:
            one.write(workdir, chosen)
        else:
            one.remove(workdir)
    return tuple(name for name in NAMES if name in asked)
