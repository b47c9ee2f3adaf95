"""Published sets whose files' names tell class and group."""

from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.registry import lookup
from examine_jax.images import load_images
from examine_jax.labelled.published.registry import FILE_NAME_LAYOUTS
from examine_jax.labelled.sets import LabelledImages


def read_authors_folder(
    folder: str,
    layout: str,
    *,
    image_size: int,
    channels: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """Reads a set from its authors' folders, with classes and groups from file names.

    Other files in the folders are left out.

    A file whose name does not contain its group is its own group; if no name does, no groups are
    known.

    Raises:
        ValueError: the layout is unknown, or fits no file, or files of one class only.
        OSError: as `load_images`.
    """
    class_and_group = lookup(layout, FILE_NAME_LAYOUTS, "layout")
    found = load_images(folder, image_size=image_size, channels=channels, on_progress=on_progress)
    known_files = [class_and_group(name) for name in found.names]
    rows = [row for row, one in enumerate(known_files) if one is not None]
    classes, labels = _numbered([one[0] for one in known_files if one is not None])
    if len(classes) < 2:
        raise ValueError(
            f"{folder} has {len(rows)} of {len(known_files)} images in the {layout} set's layout "
            f"and {len(classes)} classes; "
            "name its official folder, or give the labels in a CSV file"
        )
    taken = found.take(rows)
    groups_of = [one[1] for one in known_files if one is not None]
    groups = None
    if any(group is not None for group in groups_of):
        _, groups = _numbered(
            [name if group is None else group for name, group in zip(taken.names, groups_of)]
        )
    return LabelledImages(taken.names, taken.pixels, labels, classes, groups, len(found.skipped))


def _numbered(values: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    names = tuple(sorted(set(values)))
    number = {name: index for index, name in enumerate(names)}
    return names, np.array([number[value] for value in values], np.int64)
