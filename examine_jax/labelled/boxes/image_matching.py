"""Joins the images that a file of boxes names with the images of a folder."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import Bool, Int
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.checking import check_boxes
from examine_jax.labelled.boxes.problems import Problem

_SHOWN = 5
_SEVERAL = -2


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFinder:
    """Finds an image by the name that a file gives it.

    The name may be the image's own, or lack its folders or its suffix, or have other folders in
    front; VinDr-CXR's ids are names without a suffix. Where several images fit, none is found.

    Attributes:
        names: of the images, with forward slashes.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        tables: list[dict[str, int]] = [{}, {}, {}, {}]
        for index, name in enumerate(self.names):
            path = pathlib.PurePosixPath(name)
            keys = (name, str(path.with_suffix("")) if path.name else name, path.name, path.stem)
            for table, key in zip(tables, keys):
                table[key] = _SEVERAL if key in table and table[key] != index else index
        object.__setattr__(self, "_tables", tuple(tables))

    def find(self, name: str) -> int:
        """The index of the image; -1: there is none; -2: there are several."""
        whole, bare, base, stem = self._tables  # type: ignore[attr-defined]
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if name in whole:
            return whole[name]
        if not parts:
            return -1
        # The longest ending of the path decides first.
        for start in range(len(parts)):
            ending = "/".join(parts[start:])
            for table in (whole, bare):
                if table.get(ending, -1) >= 0:
                    return table[ending]
        last = parts[-1]
        cut = pathlib.PurePosixPath(last).stem
        for table, key in ((base, last), (stem, last), (stem, cut)):
            if key in table:
                return table[key]
        for start in range(len(parts)):
            ending = "/".join([*parts[start:-1], cut])
            if bare.get(ending, -1) >= 0:
                return bare[ending]
        return -1


def match_images(
    boxes: BoxSet, names: Sequence[str], sizes: Int[np.ndarray, "images 2"]
) -> tuple[BoxSet, tuple[Problem, ...]]:
    """The boxes on the images of a folder, in their order and their pixels.

    Boxes of a file that gives other sizes are scaled, each axis by its own factor. An image that
    the file does not name has no boxes and is a negative; a problem counts these. `named_images`
    tells them apart.

    Args:
        boxes: as read from a file.
        names: of the images.
        sizes: (height, width) of the images in which the result is wanted.

    Returns:
        The boxes on all images of `names`, and what was wrong.

    Raises:
        ValueError: the file names none of the images; its boxes are in the pixels of images of
            another size; it gives an image's height and width in the wrong order.
    """
    sizes = np.asarray(sizes, np.int32)
    names = tuple(names)
    found, problems = _found(boxes, names)
    where = f"{boxes.files[0]}: " if boxes.files else ""
    if len(boxes.images) and len(names) and not (found >= 0).any():
        raise ValueError(
            f"{where}none of its {len(boxes.images)} images is among the {len(names)} images: it "
            f"names {_listed(boxes.images[:2])}, the images are {_listed(names[:2])}"
        )
    _refuse_turned(boxes, names, sizes, found, where)
    wanted = np.where((boxes.sizes > 0).all(axis=1, keepdims=True), boxes.sizes, -1)
    matched = found >= 0
    wanted[matched] = sizes[found[matched]]
    own = np.where((boxes.sizes > 0).all(axis=1, keepdims=True), boxes.sizes, wanted)
    kept = dataclasses.replace(boxes, sizes=own).take(matched[boxes.image])
    scaled = kept.scaled_to_sizes(wanted) if (wanted[kept.image] > 0).all() else kept
    files = boxes.files
    if len(files) == len(boxes.images) and len(files) != 1:
        of_image = dict(zip(found.tolist(), files))
        files = tuple(of_image.get(index, "") for index in range(len(names)))
    readings = boxes.readings
    if readings is not None:
        readings = readings[matched[readings[:, 0]]]
        readings = np.stack([found[readings[:, 0]], readings[:, 1]], axis=1)
    joined = dataclasses.replace(
        scaled,
        images=names,
        sizes=sizes,
        image=found[scaled.image],
        readings=readings,
        files=files,
    )
    checked, bad = check_boxes(joined)
    absent = [name for name, there in zip(names, named_images(boxes, names)) if not there]
    if absent:
        problems.append(
            Problem(
                boxes.files[0] if len(boxes.files) == 1 else "",
                None,
                absent[0],
                f"{len(absent)} of {len(names)} images are not named in the file and count as "
                "images without boxes; this is the first",
                kept=True,
            )
        )
    return checked, (*problems, *bad)


def named_images(boxes: BoxSet, names: Sequence[str]) -> Bool[np.ndarray, " images"]:
    """Which of the images a file of boxes names, with or without boxes."""
    finder = ImageFinder(tuple(names))
    named = np.zeros(len(names), bool)
    for image in boxes.images:
        index = finder.find(image)
        if index >= 0:
            named[index] = True
    return named


def _found(boxes: BoxSet, names: tuple[str, ...]) -> tuple[Int[np.ndarray, " n"], list[Problem]]:
    """The index of each of the file's images among `names`, -1 where there is none."""
    finder = ImageFinder(names)
    found = np.full(len(boxes.images), -1, np.int64)
    problems = []
    taken: dict[int, str] = {}
    counts = boxes.counts()
    for place, image in enumerate(boxes.images):
        index = finder.find(image)
        if index >= 0 and index not in taken:
            found[place] = index
            taken[index] = image
            continue
        if index >= 0:
            reason = f"it and {taken[index]!r} are both {names[index]!r}"
        elif index == _SEVERAL:
            reason = "several images have this name: name it with its folder"
        else:
            reason = "there is no such image"
        lost = f"{reason}; its boxes ({counts[place]}) are left out"
        problems.append(Problem(boxes.file_of(place), None, image, lost))
    return found, problems


def _refuse_turned(
    boxes: BoxSet,
    names: tuple[str, ...],
    sizes: Int[np.ndarray, "images 2"],
    found: Int[np.ndarray, " n"],
    where: str,
) -> None:
    """Refuses a file that gives height for width."""
    given = boxes.sizes
    known = (found >= 0) & (given > 0).all(axis=1) & (given[:, 0] != given[:, 1])
    ours = sizes[np.maximum(found, 0)] if len(sizes) else np.full_like(given, -1)
    turned = known & (given[:, ::-1] == ours).all(axis=1) & (boxes.counts() > 0)
    if turned.any():
        place = int(np.flatnonzero(turned)[0])
        height, width = given[place]
        raise ValueError(
            f"{where}{int(turned.sum())} images are turned: {boxes.images[place]!r} is "
            f"{width} x {height} pixels in the file and {height} x {width} as it is shown; "
            "the boxes were drawn without the EXIF tag that turns the picture, or width and "
            "height are swapped: turn the boxes or correct the sizes"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:_SHOWN])
