"""Reads and writes boxes in any known format."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from examine_jax.common.registry import lookup
from examine_jax.common.shapes import Int
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.gathering import SizeOf, no_sizes
from examine_jax.labelled.boxes.image_matching import ImageFinder
from examine_jax.labelled.boxes.problems import Problem
from examine_jax.labelled.boxes.registry import READERS, WRITERS

_BY_SUFFIX = {".json": "coco", ".csv": "csv", ".xml": "voc", ".yaml": "yolo", ".yml": "yolo"}


def read_boxes(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    names: Sequence[str] | None = None,
    sizes: Int[np.ndarray, "images 2"] | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[BoxSet, tuple[Problem, ...]]:
    """Reads boxes from a file or a folder.

    What is wrong with single boxes, images or classes becomes a problem; the rest is used.

    Args:
        path: a COCO file (.json), a table (.csv), a folder of Pascal VOC (.xml) or YOLO (.txt)
            files, or VinDr-CXR's table or folder of annotations.
        format: coco, voc, yolo, csv or vindr; None: by the file's name and content.
        names: of the images. YOLO needs them and `sizes`; the other formats take the sizes of
            those images whose size the file does not give.
        sizes: (height, width) of the images.
        classes: the known classes; boxes of others are problems. YOLO: the names of the classes
            in order, where the folder has none. None: all classes of the file.

    Returns:
        The boxes, and what was wrong.

    Raises:
        ValueError: the file has another format, or a fault that concerns all of it: boxes in the
            pixels of other images, hostile XML or JSON.
        OSError: the file cannot be read.
    """
    if (names is None) != (sizes is None):
        raise ValueError("give the names and the sizes of the images together, or neither")
    read = lookup(format or format_of(path), READERS, "format of boxes")
    return read(path, _size_of(names, sizes), None if classes is None else tuple(classes))


def write_boxes(path: str | os.PathLike[str], boxes: BoxSet, *, format: str | None = None) -> None:
    """Writes boxes, each file whole or not at all.

    Args:
        path: a file; for voc and yolo a folder, which must exist.
        boxes: the boxes.
        format: coco, coco_results, csv, yolo, voc, label_studio or cvat; None: coco for .json, csv
            for .csv.

    Raises:
        ValueError: the format is unknown, or needs scores or sizes that are not there.
        OSError: the file cannot be written.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if format is None and suffix not in (".json", ".csv"):
        raise ValueError(f"{os.fspath(path)}: boxes are written to .csv or .json; name the format")
    lookup(format or _BY_SUFFIX[suffix], WRITERS, "format of boxes")(path, boxes)


def format_of(path: str | os.PathLike[str]) -> str:
    """The format of a file or folder of boxes.

    Raises:
        ValueError: it is none that is known.
        OSError: it cannot be read.
    """
    place = pathlib.Path(path)
    os.stat(place)  # a file that is not there has a message of its own
    if place.is_dir():
        for name in ("annotations_train.csv", "annotations_test.csv", "train.csv"):
            if (place / name).is_file() or (place / "annotations" / name).is_file():
                return "vindr"
        for suffix, name in ((".xml", "voc"), (".txt", "yolo")):
            if next(place.rglob(f"*{suffix}"), None) is not None:
                return name
        raise ValueError(
            f"{place}: no boxes in this folder: neither .xml (Pascal VOC) nor .txt (YOLO) files"
        )
    if place.name in ("annotations_train.csv", "annotations_test.csv"):
        return "vindr"
    if place.suffix.lower() in _BY_SUFFIX:
        return _BY_SUFFIX[place.suffix.lower()]
    raise ValueError(
        f"{place}: boxes are read from .json (COCO), .csv, or a folder of .xml (Pascal VOC) or "
        ".txt (YOLO) files; name the format if the file has another suffix"
    )


def _size_of(names: Sequence[str] | None, sizes: Int[np.ndarray, "images 2"] | None) -> SizeOf:
    if names is None or sizes is None:
        return no_sizes
    finder = ImageFinder(tuple(names))
    known = np.asarray(sizes).tolist()

    def size_of(name: str) -> tuple[int, int] | None:
        index = finder.find(name)
        return (known[index][0], known[index][1]) if index >= 0 else None

    return size_of
