"""YOLO: a text file an image, a line a box: class, centre x, centre y, width, height.

All four are shares of the image's sides, so the sizes of the images are needed. A line may have a
sixth number, the score, or the corners of a polygon, whose surrounding box is taken. The classes
are numbers; their names are in data.yaml or classes.txt. An image without a file is a negative.
"""

import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from examine_jax.common.atomic_files import write_text
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.coco import sizes_to_write
from examine_jax.labelled.boxes.file_per_image import files_by_image, listed_files
from examine_jax.labelled.boxes.gathering import Gathered, SizeOf
from examine_jax.labelled.boxes.json_text import read_text
from examine_jax.labelled.boxes.problems import Problem

_YAML = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names", "labels.names")
_YAML_BYTES = 2**20
_MOST_BRACKETS = 200


def read_yolo(
    path: str | os.PathLike[str], size_of: SizeOf, classes: tuple[str, ...] | None
) -> tuple[BoxSet, tuple[Problem, ...]]:
    """Reads a folder of text files. A `Read` of the registry.

    Args:
        path: the folder, or its data.yaml.
        size_of: the sizes of the images.
        classes: the names of the classes in order; None: as the folder, or the one above, names
            them.
    """
    place = pathlib.Path(path)
    names = classes
    if not place.is_dir():
        names = names or _yaml_names(place)
        place = place.parent
    names = names or _class_names(place)
    gathered = Gathered(os.fspath(path), size_of)
    for name in names:
        gathered.class_(name)
    scored = []
    for file in listed_files(place, ".txt"):
        if file.name in _LISTS or file.name.lower().startswith(("readme", "license")):
            continue
        image_name = _image_name(file.relative_to(place))
        size = size_of(image_name)
        if size is None:
            gathered.problem(
                "there is no image of this name, so its size is not known: its boxes are left out",
                image=image_name,
                file=str(file),
            )
            continue
        if gathered.has_image(image_name):
            gathered.problem(
                "another file has the boxes of this image: this one is left out",
                image=image_name,
                file=str(file),
            )
            continue
        image = gathered.image(image_name, size, str(file))
        scored += _read_lines(gathered, file, image, image_name, names)
    if not gathered.num_images and gathered.problems:
        raise ValueError(
            f"{place}: YOLO gives boxes as shares of the image's sides, and none of its files "
            f"belongs to a known image, such as {gathered.problems[0].image!r}: give the folder of "
            "images"
        )
    return gathered.finish(in_order=True, scored=bool(scored) and all(scored))


def write_yolo(path: str | os.PathLike[str], boxes: BoxSet) -> None:
    """Writes a text file an image to a folder, and the classes' names to classes.txt.

    An image without a box has an empty file. A score is the sixth number.

    Raises:
        ValueError: an image's size is not known; two images have the same name but for the suffix;
            a class's name has a line break.
        OSError: a file cannot be written.
    """
    broken = [name for name in boxes.classes if len(name.splitlines()) != 1]
    if broken:
        raise ValueError(f"the class {broken[0]!r} has a line break or no name: rename it")
    sizes = sizes_to_write(boxes)
    for image, file in enumerate(files_by_image(path, boxes.images, ".txt")):
        if file == pathlib.Path(path) / "classes.txt":
            raise ValueError("an image named 'classes' would take the place of classes.txt")
        lines = [_line(boxes, row, sizes[image]) for row in boxes.of_image(image).tolist()]
        write_text(file, "".join(lines))
    write_text(pathlib.Path(path) / "classes.txt", "".join(f"{name}\n" for name in boxes.classes))


def _line(boxes: BoxSet, row: int, size: Sequence[int]) -> str:
    height, width = size
    x_min, y_min, x_max, y_max = boxes.corners[row].tolist()
    numbers = (
        (x_min + x_max) / 2 / width,
        (y_min + y_max) / 2 / height,
        (x_max - x_min) / width,
        (y_max - y_min) / height,
    )
    score = "" if boxes.score is None else f" {boxes.score[row].item()!r}"
    return f"{boxes.label[row]} {' '.join(map(repr, numbers))}{score}\n"


def _read_lines(
    gathered: Gathered, file: pathlib.Path, image: int, name: str, classes: Sequence[str]
) -> list[bool]:
    """Adds the boxes of a file. For each box, whether it has a score."""
    height, width = gathered.size(image)
    scored = []
    for number, text in enumerate(read_text(file).splitlines(), 1):
        words = text.split()
        if not words:
            continue
        try:
            code, *values = map(float, words)
        except ValueError:
            reason = f"{text!r:.80} is not of numbers"
        else:
            reason = _fault(code, values, len(classes))
        if reason:
            gathered.problem(
                f"{reason}: the box is left out", line=number, image=name, file=str(file)
            )
            continue
        score = values[4] if len(values) == 5 else None
        if len(values) in (4, 5):
            x, y, w, h = values[:4]
            corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        else:
            corners = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
        scored.append(score is not None)
        gathered.box(
            image,
            classes[int(code)],
            (corners[0] * width, corners[1] * height, corners[2] * width, corners[3] * height),
            line=number,
            score=score,
        )
    return scored


def _fault(code: float, values: Sequence[float], num_classes: int) -> str:
    """What is wrong with a line, or ""."""
    if not (code == math.floor(code) if math.isfinite(code) else False):
        return f"the class {code!r} is no whole number"
    if not 0 <= code < num_classes:
        return f"unknown class {int(code)}, there are 0 to {num_classes - 1}"
    if len(values) not in (4, 5) and (len(values) < 6 or len(values) % 2):
        return f"{len(values) + 1} numbers are neither a box nor a polygon"
    return ""


def _image_name(file: pathlib.Path) -> str:
    """The image's name: the file's path without its suffix and a folder `labels`."""
    parts = [part for part in file.with_suffix("").parts if part != "labels"]
    # with_suffix takes the last suffix alone, so that a.b.txt is the image a.b.
    return "/".join(parts)


def _class_names(folder: pathlib.Path) -> tuple[str, ...]:
    for place in (folder, folder.parent):
        for name in _YAML:
            if (place / name).is_file():
                return _yaml_names(place / name)
        for name in _LISTS:
            if (place / name).is_file():
                lines = read_text(place / name, _YAML_BYTES).splitlines()
                return _checked(place / name, [line.strip() for line in lines if line.strip()])
    raise ValueError(
        f"{folder}: the names of the classes are in no data.yaml or classes.txt here or one folder "
        "above: add one, a name a line"
    )


def _yaml_names(path: pathlib.Path) -> tuple[str, ...]:
    import yaml

    text = read_text(path, _YAML_BYTES)
    if text.count("[") + text.count("{") > _MOST_BRACKETS:  # the parser's time is quadratic in them
        raise ValueError(f"{path}: more than {_MOST_BRACKETS} brackets are no names of classes")
    try:
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: no YAML ({' '.join(str(error).split())[:200]})") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        keys = sorted(names) if all(isinstance(key, int) for key in names) else []
        if keys != list(range(len(names))):
            raise ValueError(f"{path}: the numbers of `names` are not 0 to {len(names) - 1}")
        names = [names[key] for key in keys]
    if not isinstance(names, list) or not names:
        raise ValueError(f"{path}: `names` must list the names of the classes")
    if not all(isinstance(name, str | int | float) for name in names):
        raise ValueError(f"{path}: `names` must be texts")
    return _checked(path, [str(name) for name in names])


def _checked(path: pathlib.Path, names: Sequence[str]) -> tuple[str, ...]:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: the class {twice[0]!r} is there twice: name each once")
    return tuple(names)
