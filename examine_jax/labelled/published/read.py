"""Published medical sets as they are handed out: images in a folder, labels, patients and splits in files beside them.

Layouts (what lies where, below the folder that is named):
    isic_2019: ISIC_2019_Training_Input/*.jpg, ISIC_2019_Training_GroundTruth.csv (a column a class, one of them 1) and, for the lesions,
        ISIC_2019_Training_Metadata.csv (a row an image; an empty lesion_id: the image is on its own).
    isic_2016: ISBI2016_ISIC_Part3_Training_Data/*.jpg, ISBI2016_ISIC_Part3_Training_GroundTruth.csv (no header; benign, malignant);
        with ISBI2016_ISIC_Part3_Test_Data and ..._Test_GroundTruth.csv (0.0, 1.0), or neither.
    chestx_ray14: Data_Entry_2017*.csv, images/*.png or images_001 to images_012/images/*.png; with train_val_list.txt and
        test_list.txt, or neither. Several labels an image, patients as groups.
    shenzhen: CXR_png/CHNCXR_NNNN_L.png, L being 0 (normal) or 1 (tuberculosis); where shenzhen_metadata.csv is there, its study_id
        names the images.

All files of a set name the same images, those that are there: a list or table that does not fit the others is refused, not guessed at.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from examine_jax.common.shapes import Int, Shaped
from examine_jax.images import load_folder, stream_folder
from examine_jax.images.sources.scan import scan_folder
from examine_jax.labelled.published.tables import LAYOUTS, Entry, listed


@dataclasses.dataclass(frozen=True, eq=False)
class OfficialSet:
    """Images and what the set's files say of them.

    Attributes:
        names: of the images: their files, below the folder.
        pixels: uint8 [N, H, W, C], or `StreamedImages` where they are read on demand.
        labels: [N] a class, or [N, classes] 0 and 1 where images have several.
        classes: names of the classes.
        groups: [N] of one number a patient or lesion; None: the files do not tell.
        tested: [N] whether the official split tests on the image; None: there is none.
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
        layout: one of `LAYOUTS`.
        image_size, channels: as in `load_folder`.
        on_demand: decode images when they are asked for, for sets larger than memory.

    Raises:
        ValueError: no such layout; files that name missing images or unknown classes or contradict one another; an image without a row;
            an unreadable image.
        OSError: the folder or one of its files is missing (which).
    """
    if layout not in LAYOUTS:
        raise ValueError(f"no layout is named {layout!r}; there are: {', '.join(LAYOUTS)}")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: name the one that holds the {layout} files")
    # Files and names before images: what is wrong with them shows at once.
    entries, classes, image_folders = LAYOUTS[layout](folder)
    files = [tuple(candidate.name for candidate in scan_folder(part).candidates) for part in image_folders]
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
        else:  # One array for all, and beside it a single folder's images at a time.
            if pixels is None:
                pixels = np.empty((len(stems), *found.pixels.shape[1:]), np.uint8)
            pixels[start : start + len(names)] = found.pixels
            start += len(names)
        del found  # or it would stay beside the next one
    if on_demand:
        pixels = parts[0] if len(parts) == 1 else _Joined(tuple(parts))
    rows = [entries[stem] for stem in stems]
    tested = None if rows[0].tested is None else np.array([row.tested for row in rows])
    groups = None
    if any(row.group is not None for row in rows):
        # An image whose group is not told is a group of its own.
        _, groups = np.unique([row.group or f" {stem}" for row, stem in zip(rows, stems)], return_inverse=True)
    labels = np.array([row.label for row in rows], np.int64)
    below = tuple(f"{part.relative_to(folder)}/{name}" for part, names in zip(image_folders, files) for name in names)
    return OfficialSet(below, pixels, labels, classes, groups, tested)


def _check_present(folder: pathlib.Path, layout: str, entries: Mapping[str, Entry], stems: Sequence[str]) -> None:
    doubled = [stem for stem, count in collections.Counter(stems).items() if count > 1]
    if doubled:
        raise ValueError(f"{folder}: two images are called {listed(doubled)}; keep one of each")
    missing = entries.keys() - set(stems)
    if missing:
        raise ValueError(
            f"{folder}: {len(missing)} of {len(entries)} images that the {layout} labels name are not there: {listed(missing)}; "
            "add them (all archives of the set unpacked?), or remove their rows from every file that names them"
        )
    strangers = set(stems) - entries.keys()
    if strangers:
        raise ValueError(
            f"{folder}: {len(strangers)} images have no {layout} label: {listed(strangers)}; remove them, or add rows"
        )


def _check_read(part: pathlib.Path, names: Sequence[str], found: Any) -> None:
    unread = set(names) - set(found.names)
    if unread:
        reasons = {item.name: item.reason for item in found.skipped}
        told = listed(f"{name} ({reasons.get(name, 'several images in one file')})" for name in unread)
        raise ValueError(
            f"{part}: {len(unread)} images are not readable: {told}; put sound files in their place, or remove them and their rows"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Joined:
    """Several folders' images on demand, one after the other."""

    parts: tuple[Any, ...]
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.parts[0].shape[1:])

    def __getitem__(self, indices: Int[np.ndarray, " batch"]) -> Shaped[np.ndarray, "batch h w c"]:
        starts = np.cumsum([0, *map(len, self.parts)])
        which = np.searchsorted(starts, indices, side="right") - 1
        return np.concatenate(
            [self.parts[part][np.array([index - starts[part]])] for part, index in zip(which, indices)]
        )
