"""Published medical sets as they are distributed: images, and tables beside them.

All files of a set must name the same images, those that are there: a table that does not fit the
others is refused.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from examine_jax.common.registry import lookup
from examine_jax.common.shapes import Int, Shaped
from examine_jax.images import load_folder, stream_folder
from examine_jax.images.sources.scan import scan_folder
from examine_jax.labelled.published.layout import Entry, listed
from examine_jax.labelled.published.registry import LAYOUTS


@dataclasses.dataclass(frozen=True, eq=False)
class OfficialSet:
    """Images, and what the set's files say about them.

    Attributes:
        names: the images' files, relative to the folder.
        pixels: uint8 [N, H, W, C], or `StreamedImages` if they are read on demand.
        labels: [N] a class, or [N, classes] 0 and 1 if images have several.
        classes: names of the classes.
        groups: [N] a number for each patient or lesion; None: the files name none.
        tested: [N] whether the official split tests on the image; None: there is no split.
    """

    names: tuple[str, ...]
    pixels: Any
    labels: Int[np.ndarray, "n *classes"]
    classes: tuple[str, ...]
    groups: Int[np.ndarray, " n"] | None
    tested: Shaped[np.ndarray, " n"] | None


def read_official(
    layout: str,
    folder: str | os.PathLike[str],
    *,
    image_size: int,
    channels: int = 3,
    on_demand: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> OfficialSet:
    """Reads a published set from its folder.

    Args:
        layout: one of `registry.LAYOUTS`, or package.module:attribute.
        image_size, channels: as in `load_folder`.
        on_demand: decode images only when they are used, for sets larger than memory.
        on_progress: called with (done, total), for each of the set's folders in turn.

    Raises:
        ValueError: no such layout; files that name missing images or unknown classes or contradict
            one another; an image without a row; an unreadable image.
        OSError: the folder or one of its files is missing (which).
    """
    read_files = lookup(layout, LAYOUTS, "layout")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: name the one that holds the {layout} files")
    # Tables and names come before images, so that errors in them are found at once.
    files_of_set = read_files(folder)
    entries, image_folders = files_of_set.entries, files_of_set.folders
    files = [
        tuple(candidate.name for candidate in scan_folder(part).candidates)
        for part in image_folders
    ]
    stems = [pathlib.PurePosixPath(name).stem for names in files for name in names]
    _check_present(folder, layout, entries, stems)
    parts = []
    pixels: Any = None
    start = 0
    for part, names in zip(image_folders, files):
        read: Callable[..., Any] = stream_folder if on_demand else load_folder
        found = read(part, image_size=image_size, channels=channels, on_progress=on_progress)
        _check_read(part, names, found)
        if on_demand:
            parts.append(found)
        elif len(files) == 1:
            pixels = found.pixels
        else:  # One array for all images; only one folder's images exist beside it at a time.
            if pixels is None:
                pixels = np.empty((len(stems), *found.pixels.shape[1:]), np.uint8)
            pixels[start : start + len(names)] = found.pixels
            start += len(names)
        del found  # else it would be held while the next folder is read
    if on_demand:
        pixels = parts[0] if len(parts) == 1 else _Joined(tuple(parts))
    rows = [entries[stem] for stem in stems]
    tested = None if rows[0].tested is None else np.array([row.tested for row in rows])
    groups = None
    if any(row.group is not None for row in rows):
        # An image whose group is unknown is its own group.
        _, groups = np.unique(
            [row.group or f" {stem}" for row, stem in zip(rows, stems)], return_inverse=True
        )
    labels = np.array([row.label for row in rows], np.int64)
    below = tuple(
        f"{part.relative_to(folder)}/{name}"
        for part, names in zip(image_folders, files)
        for name in names
    )
    return OfficialSet(below, pixels, labels, files_of_set.classes, groups, tested)


def _check_present(
    folder: pathlib.Path, layout: str, entries: Mapping[str, Entry], stems: Sequence[str]
) -> None:
    doubled = [stem for stem, count in collections.Counter(stems).items() if count > 1]
    if doubled:
        raise ValueError(f"{folder}: two images are called {listed(doubled)}; keep one of each")
    missing = entries.keys() - set(stems)
    if missing:
        raise ValueError(
            f"{folder}: {len(missing)} of {len(entries)} images that the {layout} labels name are "
            f"not there: {listed(missing)}; "
            "add them (all archives of the set unpacked?), or remove their rows from every file "
            "that names them"
        )
    strangers = set(stems) - entries.keys()
    if strangers:
        raise ValueError(
            f"{folder}: {len(strangers)} images have no {layout} label: {listed(strangers)}; "
            "remove them, or add rows"
        )


def _check_read(part: pathlib.Path, names: Sequence[str], found: Any) -> None:
    unread = set(names) - set(found.names)
    if unread:
        reasons = {item.name: item.reason for item in found.skipped}
        described = listed(
            f"{name} ({reasons.get(name, 'several images in one file')})" for name in unread
        )
        raise ValueError(
            f"{part}: {len(unread)} images are not readable: {described}; put sound files in their "
            "place, or remove them and their rows"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Joined:
    """Images of several folders on demand, one folder after the other."""

    parts: tuple[Any, ...]
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.parts[0].shape[1:])

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(file for part in self.parts for file in part.files)

    def __getitem__(self, indices: Int[np.ndarray, " batch"]) -> Shaped[np.ndarray, "batch h w c"]:
        starts = np.cumsum([0, *map(len, self.parts)])
        which = np.searchsorted(starts, indices, side="right") - 1
        return np.concatenate(
            [
                self.parts[part][np.array([index - starts[part]])]
                for part, index in zip(which, indices)
            ]
        )
