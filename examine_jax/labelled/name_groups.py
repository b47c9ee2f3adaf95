"""Groups of images that their names tell: those of one folder, or of one file."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from examine_jax.common.shapes import Shaped
from examine_jax.images.names import file_and_place

GroupBy = Literal["folder", "file"]


def groups_by_name(names: Sequence[str] | None, by: GroupBy) -> Shaped[np.ndarray, " images"]:
    """The group of each image, as text.

    Args:
        names: of the images, as `ImageSet.names` has them.
        by: "folder": the path of its folder ("." for images in none); "file": the path of its
            file, so that slices of one volume, tiles of one slide, and frames and pages of one file
            are a group.

    Raises:
        ValueError: the images have no names, or all are one group.
    """
    if names is None:
        raise ValueError(f"group_by={by} reads the images' names, and these have none")
    files = [file_and_place(name)[0] for name in names]
    groups = files
    if by == "folder":
        groups = [file.rpartition("/")[0] or "." for file in files]
    if len(names) > 1 and len(set(groups)) == 1:
        raise ValueError(
            f"group_by={by}: all images are of one {by}, {groups[0]!r}; leave it out, or give a "
            "table of groups"
        )
    return np.array(groups, dtype=str)
