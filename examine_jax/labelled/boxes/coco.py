"""COCO: one JSON file with images, categories and annotations.

Categories and images are found by their ids, never by their position: ids may have gaps, and an
annotation's id may be 0. A box is [x, y, width, height]. Files are written with ids from 1, because
COCO's own evaluation takes an annotation with id 0 as unmatched.
"""

import json
import math
import os
from collections.abc import Sequence
from typing import Any

from examine_jax.common.atomic_files import write_text
from examine_jax.labelled.boxes.box_set import BoxSet, box_areas
from examine_jax.labelled.boxes.gathering import Gathered, SizeOf
from examine_jax.labelled.boxes.image_matching import ImageFinder
from examine_jax.labelled.boxes.json_text import read_json
from examine_jax.labelled.boxes.problems import Problem


def read_coco(
    path: str | os.PathLike[str], size_of: SizeOf, classes: tuple[str, ...] | None
) -> tuple[BoxSet, tuple[Problem, ...]]:
    """Reads a COCO data set, or results as `write_coco_results` writes them. A registry's `Read`.

    An annotation may also have `score`, and `reader` or `rad_id`.
    """
    where = os.fspath(path)
    document = read_json(path)
    if isinstance(document, list):
        document = _data_set(where, document)
    if not isinstance(document, dict):
        raise ValueError(f"{where}: no COCO data set: its JSON is no object")
    images, categories, annotations = (
        _entries(where, document, part) for part in ("images", "categories", "annotations")
    )
    gathered = Gathered(where, size_of, classes)
    names = _image_names(gathered, images)
    class_names = _class_names(gathered, categories)
    if not class_names and annotations:
        raise ValueError(f"{where}: there are annotations but no categories")
    ids = [entry.get("id") for entry in annotations]
    repeated = _repeated(gathered, ids)
    scored = bool(annotations) and all("score" in entry for entry in annotations)
    for place, entry in enumerate(annotations):
        _add(gathered, entry, place, names, class_names, repeated, scored)
    areas = any("area" in entry for entry in annotations)
    return gathered.finish(in_order=True, scored=scored, areas=areas)


def coco_document(boxes: BoxSet, *, info: str = "", attributes: bool = False) -> dict[str, Any]:
    """A COCO data set as plain values; ids start at 1.

    Args:
        boxes: an image whose size is not known has no width and height.
        info: a description.
        attributes: write scores and readers as attributes, as CVAT wants them.
    """
    areas = box_areas(boxes) if boxes.area is None else boxes.area
    corners = boxes.corners.tolist()
    annotations: list[dict[str, Any]] = []
    for row, (x_min, y_min, x_max, y_max) in enumerate(corners):
        entry: dict[str, Any] = {
            "id": row + 1,
            "image_id": int(boxes.image[row]) + 1,
            "category_id": int(boxes.label[row]) + 1,
            "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
            "area": float(areas[row]),
            "segmentation": [],
            "iscrowd": 0 if boxes.crowd is None else int(boxes.crowd[row]),
        }
        extra: dict[str, Any] = {}
        if boxes.score is not None:
            extra["score"] = float(boxes.score[row])
        if boxes.reader is not None:
            extra["reader"] = boxes.readers[int(boxes.reader[row])]
        entry.update({"attributes": extra} if attributes else extra)
        annotations.append(entry)
    images: list[dict[str, Any]] = []
    for index, (name, (height, width)) in enumerate(zip(boxes.images, boxes.sizes.tolist())):
        image: dict[str, Any] = {"id": index + 1, "file_name": name}
        if height > 0 and width > 0:
            image.update(width=width, height=height)
        images.append(image)
    return {
        "info": {"description": info},
        "licenses": [],
        "images": images,
        "categories": [
            {"id": index + 1, "name": name, "supercategory": ""}
            for index, name in enumerate(boxes.classes)
        ],
        "annotations": annotations,
    }


def write_coco(path: str | os.PathLike[str], boxes: BoxSet) -> None:
    """Writes a COCO data set; scores and readers are keys of the annotations."""
    write_text(path, json.dumps(coco_document(boxes), ensure_ascii=False))


def write_coco_results(
    path: str | os.PathLike[str],
    boxes: BoxSet,
    *,
    image_ids: Sequence[int] | None = None,
    category_ids: Sequence[int] | None = None,
) -> None:
    """Writes COCO results: a list of image_id, category_id, bbox and score.

    Each entry also has the image's `file_name` and the category's `category_name`, which COCO's
    tools ignore: without them nobody could tell which image is meant.

    Args:
        path: the file.
        boxes: predictions.
        image_ids: the ids of the images in the data set that they are compared with; None: from 1
            in the order of `boxes.images`, as `write_coco` gives them.
        category_ids: the same of the classes.

    Raises:
        ValueError: the boxes have no scores.
    """
    if boxes.score is None:
        raise ValueError(f"{os.fspath(path)}: COCO results need scores; write a COCO data set")
    images = image_ids or range(1, len(boxes.images) + 1)
    categories = category_ids or range(1, len(boxes.classes) + 1)
    results = [
        {
            "image_id": images[image],
            "file_name": boxes.images[image],
            "category_id": categories[label],
            "category_name": boxes.classes[label],
            "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
            "score": score,
        }
        for image, label, (x_min, y_min, x_max, y_max), score in zip(
            boxes.image.tolist(), boxes.label.tolist(), boxes.corners.tolist(), boxes.score.tolist()
        )
    ]
    write_text(path, json.dumps(results))


def coco_ids(
    path: str | os.PathLike[str], names: Sequence[str], classes: Sequence[str]
) -> tuple[list[int], list[int]]:
    """The ids that a COCO data set gives to images and classes; -1 where it has none.

    Args:
        path: the data set.
        names: of the images, as a folder has them.
        classes: names of the classes.

    Raises:
        ValueError, OSError: as `read_coco`.
    """
    where, document = os.fspath(path), read_json(path)
    if not isinstance(document, dict):
        raise ValueError(f"{where}: no COCO data set: its JSON is no object")
    finder = ImageFinder(tuple(names))
    images, categories = [-1] * len(names), [-1] * len(classes)
    for entry in _entries(where, document, "images"):
        index = finder.find(str(entry.get("file_name")))
        if index >= 0 and isinstance(entry.get("id"), int):
            images[index] = entry["id"]
    for entry in _entries(where, document, "categories"):
        if entry.get("name") in classes and isinstance(entry.get("id"), int):
            categories[list(classes).index(entry["name"])] = entry["id"]
    return images, categories


def sizes_to_write(boxes: BoxSet) -> list[list[int]]:
    """(height, width) of all images. Raises: ValueError, where one is not known."""
    for name, size in zip(boxes.images, boxes.sizes):
        if (size <= 0).any():
            raise ValueError(
                f"the size of {name!r} is not known, and this format needs it: give the sizes of "
                "the images"
            )
    return boxes.sizes.tolist()


def _data_set(where: str, results: list[Any]) -> dict[str, Any]:
    """COCO results that name their images and categories as a data set."""
    images: dict[str, int] = {}
    categories: dict[str, int] = {}
    annotations = []
    for place, entry in enumerate(results):
        named = isinstance(entry, dict) and all(
            isinstance(entry.get(key), str) for key in ("file_name", "category_name")
        )
        if not named:
            raise ValueError(
                f"{where}: a list, as of COCO results, which do not name their images (entry "
                f"{place + 1} has no file_name or category_name); give a COCO data set (images, "
                "categories, annotations)"
            )
        image = images.setdefault(entry["file_name"], len(images) + 1)
        category = categories.setdefault(entry["category_name"], len(categories) + 1)
        annotations.append({**entry, "id": place + 1, "image_id": image, "category_id": category})
    return {
        "images": [{"id": key, "file_name": name} for name, key in images.items()],
        "categories": [{"id": key, "name": name} for name, key in categories.items()],
        "annotations": annotations,
    }


def _entries(where: str, document: dict[str, Any], part: str) -> list[dict[str, Any]]:
    entries = document.get(part)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{where}: no COCO data set: {part!r} must be a list of objects")
    return entries


def _image_names(gathered: Gathered, images: list[dict[str, Any]]) -> dict[Any, int]:
    """Image ids to indices."""
    found: dict[Any, int] = {}
    for entry in images:
        key, name = entry.get("id"), entry.get("file_name")
        if not isinstance(name, str) or not name or not _is_id(key):
            gathered.problem(f"an image with id {key!r} and file_name {name!r}: it is left out")
        elif key in found:
            gathered.problem(f"image id {key!r} is there twice: this image is left out", image=name)
        else:
            if gathered.has_image(name):
                gathered.problem(
                    f"the image is there twice, the second time with id {key!r}: the boxes of "
                    "both are its own",
                    image=name,
                    kept=True,
                )
            found[key] = gathered.image(name, _size(entry))
    return found


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    if not isinstance(height, int | float) or not isinstance(width, int | float):
        return None
    if 0 < height < 2**31 and 0 < width < 2**31:
        return int(height), int(width)
    return None


def _class_names(gathered: Gathered, categories: list[dict[str, Any]]) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for entry in categories:
        key, name = entry.get("id"), entry.get("name")
        if not isinstance(name, str | int) or not _is_id(key):
            gathered.problem(f"a category with id {key!r} and name {name!r}: it is left out")
        elif key in found:
            gathered.problem(
                f"category id {key!r} is there twice: {name!r} is left out, {found[key]!r} is used"
            )
        else:
            found[key] = str(name)
            gathered.class_(str(name))
    return found


def _repeated(gathered: Gathered, ids: list[Any]) -> set[int]:
    """The places of annotations whose id an earlier one has."""
    seen: set[Any] = set()
    places = set()
    for place, key in enumerate(ids):
        if not _is_id(key):
            continue
        if key in seen:
            places.add(place)
        seen.add(key)
    if len(places) * 2 > len(ids):
        gathered.problem(
            f"{len(places)} of {len(ids)} annotations have an id that another one has: the ids "
            "are not used",
            kept=True,
        )
        return set()
    return places


def _add(
    gathered: Gathered,
    entry: dict[str, Any],
    place: int,
    images: dict[Any, int],
    class_names: dict[Any, str],
    repeated: set[int],
    scored: bool,
) -> None:
    key = entry.get("id")
    line = key if isinstance(key, int) and not isinstance(key, bool) and abs(key) < 2**63 else None
    image, category = entry.get("image_id"), entry.get("category_id")
    box, score = entry.get("bbox"), entry.get("score")
    named = "" if line is not None else f" (annotation number {place + 1})"
    reason = ""
    if place in repeated:
        reason = f"annotation id {key!r} is there twice"
    elif not _is_id(image) or image not in images:
        reason = f"there is no image with id {image!r}"
    elif not _is_id(category) or category not in class_names:
        reason = f"there is no category with id {category!r}"
    elif not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        reason = f"bbox is {box!r:.80}, not four numbers"
    elif scored and not _is_number(score):
        reason = f"score is {score!r:.80}, no number"
    if reason:
        gathered.problem(f"{reason}: the box is left out{named}", line=line)
        return
    x, y, width, height = map(_as_float, box)  # type: ignore[arg-type]
    area = entry.get("area")
    reader = entry.get("reader", entry.get("rad_id"))
    index = images[image]
    gathered.box(
        index,
        class_names[category],
        (x, y, x + width, y + height),
        line=line,
        score=_as_float(score) if scored else None,
        area=_as_float(area) if _is_number(area) else None,
        crowd=entry.get("iscrowd") in (1, True),
        reader=-1 if reader is None else gathered.reader(str(reader)),
    )


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf
