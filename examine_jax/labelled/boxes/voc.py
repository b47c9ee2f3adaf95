"""Pascal VOC: an XML file an image.

VOC counts pixels from 1, and a box includes its last pixel. So x_min = xmin - 1 and x_max = xmax
here, and the other way round on writing. Some tools count from 0 all the same; their boxes are then
one pixel off on the left and above, which the files do not tell.
"""

import os
import pathlib
import re
import xml.etree.ElementTree as plain
from collections.abc import Iterator
from xml.sax.saxutils import escape

from examine_jax.common.atomic_files import write_text
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.coco import sizes_to_write
from examine_jax.labelled.boxes.file_per_image import files_by_image, listed_files
from examine_jax.labelled.boxes.gathering import Gathered, SizeOf
from examine_jax.labelled.boxes.json_text import read_text
from examine_jax.labelled.boxes.problems import Problem

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SIDES = ("height", "width")
_OBJECT = re.compile(r"<object[\s>]")


def read_voc(
    path: str | os.PathLike[str], size_of: SizeOf, classes: tuple[str, ...] | None
) -> tuple[BoxSet, tuple[Problem, ...]]:
    """Reads a folder of XML files, or one file. A `Read` of the registry.

    An image without an object is a negative. Objects that are marked `difficult` are boxes as any
    other.
    """
    where = os.fspath(path)
    gathered = Gathered(where, size_of, classes)
    for file in listed_files(path, ".xml"):
        _read_file(gathered, file)
    return gathered.finish()


def write_voc(path: str | os.PathLike[str], boxes: BoxSet) -> None:
    """Writes an XML file an image to a folder, under the image's name, with a score if known.

    Raises:
        ValueError: an image's size is not known; two images have the same name but for the suffix.
        OSError: a file cannot be written.
    """
    sizes = sizes_to_write(boxes)
    for image, file in enumerate(files_by_image(path, boxes.images, ".xml")):
        height, width = sizes[image]
        objects = "".join(_object(boxes, row) for row in boxes.of_image(image).tolist())
        name = escape(boxes.images[image])
        write_text(
            file,
            f"<annotation>\n  <filename>{name}</filename>\n"
            f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
            f"  <segmented>0</segmented>\n{objects}</annotation>\n",
        )


def _object(boxes: BoxSet, row: int) -> str:
    x_min, y_min, x_max, y_max = boxes.corners[row].tolist()
    corners = zip(_CORNERS, (x_min + 1, y_min + 1, x_max, y_max))
    shown = "".join(f"<{name}>{_digits(value)}</{name}>" for name, value in corners)
    score = "" if boxes.score is None else f"<score>{boxes.score[row].item()!r}</score>"
    name = escape(boxes.classes[int(boxes.label[row])])
    return (
        f"  <object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>0</difficult>{score}<bndbox>{shown}</bndbox></object>\n"
    )


def _digits(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _read_file(gathered: Gathered, file: pathlib.Path) -> None:
    import defusedxml.ElementTree as safe
    from defusedxml.common import DefusedXmlException

    text = read_text(file)
    try:
        root = safe.fromstring(text)
    except DefusedXmlException as error:
        raise ValueError(
            f"{file}: XML with entities or references to other files, which no annotation needs: "
            "remove them, or the file"
        ) from error
    except (plain.ParseError, ValueError, LookupError) as error:
        gathered.problem(f"no XML ({error}): its image is left out", file=str(file))
        return
    if root.tag != "annotation":
        gathered.problem(
            f"no Pascal VOC annotation but <{root.tag:.40}>: it is left out", file=str(file)
        )
        return
    name = (root.findtext("filename") or "").strip() or file.stem
    if gathered.has_image(name):
        gathered.problem(
            "another file has the boxes of this image: this one is left out",
            image=name,
            file=str(file),
        )
        return
    image = gathered.image(name, _size(root), str(file))
    for entry, line in zip(root.findall("object"), _object_lines(text)):
        class_name = (entry.findtext("name") or "").strip()
        texts = [(entry.findtext(f"bndbox/{corner}") or "").strip() for corner in _CORNERS]
        reason = "" if class_name else "an object without a name"
        corners = []
        try:
            corners = [float(value) for value in texts]
        except ValueError:
            reason = f"bndbox {', '.join(texts)!r:.80} is not of four numbers"
        if reason:
            gathered.problem(
                f"{reason}: the box is left out",
                line=line,
                image=name,
                file=str(file),
            )
            continue
        corners[0] -= 1
        corners[1] -= 1
        gathered.box(image, class_name, corners, line=line)


def _size(root: plain.Element) -> tuple[int, int] | None:
    try:
        height, width = (int(float(root.findtext(f"size/{side}") or "")) for side in _SIDES)
    except (ValueError, OverflowError):
        return None
    return (height, width) if 0 < height < 2**31 and 0 < width < 2**31 else None


def _object_lines(text: str) -> Iterator[int | None]:
    """The line of each object, counted from 1; then None without end."""
    line, before = 1, 0
    for found in _OBJECT.finditer(text):
        line += text.count("\n", before, found.start())
        before = found.start()
        yield line
    while True:
        yield None
