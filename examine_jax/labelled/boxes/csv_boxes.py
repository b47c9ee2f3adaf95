"""CSV: a row a box, the columns found by their names.

The image is in `image_id`, `image`, `filename`, `file_name` or `name`; the class in `class_name`,
`class`, `label`, `category` or `class_id`; the corners in x_min, y_min, x_max, y_max (or xmin, x1).
Optional: the reader in `rad_id`, `reader` or `annotator`, the score in `score` or `confidence`, the
image's size in `width` and `height`. A row with empty coordinates, or of the class "No finding",
says that the image was looked at and has no box.
"""

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence

from examine_jax.common.atomic_files import replacing
from examine_jax.common.csv_lines import check_header, csv_header, csv_lines
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.gathering import Gathered, SizeOf
from examine_jax.labelled.boxes.problems import Problem

NO_FINDING = ("", "no finding", "no_finding", "nan")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": ("image_id", "image", "filename", "file_name", "name"),
    "class": ("class_name", "class", "label", "category", "class_id"),
    "x_min": ("x_min", "xmin", "x1"),
    "y_min": ("y_min", "ymin", "y1"),
    "x_max": ("x_max", "xmax", "x2"),
    "y_max": ("y_max", "ymax", "y2"),
    "reader": ("rad_id", "reader", "annotator"),
    "score": ("score", "confidence"),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
}
_NEEDED = ("image", "class", "x_min", "y_min", "x_max", "y_max")
_CORNERS = ("x_min", "y_min", "x_max", "y_max")


def find_columns(header: Sequence[str]) -> dict[str, str]:
    """What a header's columns hold: {"x_min": "xmin", …}, only those that are there."""
    by_name = {cell.strip().lower(): cell for cell in reversed(header)}
    found = {}
    for what, names in _COLUMNS.items():
        for name in names:
            if name in by_name:
                found[what] = by_name[name]
                break
    return found


def read_csv_boxes(
    path: str | os.PathLike[str],
    size_of: SizeOf,
    classes: tuple[str, ...] | None,
    *,
    class_names: Mapping[str, str] | None = None,
    in_order: bool = False,
) -> tuple[BoxSet, tuple[Problem, ...]]:
    """Reads boxes from CSV. A `Read` of the registry.

    Args:
        path: the file.
        size_of: the sizes of images, where the file has none.
        classes: the known classes, or None.
        class_names: other names for what the class's column holds.
        in_order: the classes come in the order of `class_names`' values, else sorted.
    """
    where = os.fspath(path)
    header = csv_header(path)
    columns = find_columns(header)
    absent = [what for what in _NEEDED if what not in columns]
    if absent:
        wanted = "; ".join(" or ".join(_COLUMNS[what]) for what in absent)
        raise ValueError(
            f"{where}: no column for {', '.join(absent)} ({wanted}); the columns are "
            f"{', '.join(header) or 'none'}"
        )
    gathered = Gathered(where, size_of, classes)
    if in_order and class_names:
        for name in dict.fromkeys(class_names.values()):
            gathered.class_(name)
    check_header(path, header, dict.fromkeys(columns.values()))
    places = {what: header.index(column) for what, column in columns.items()}
    width = max(places.values()) + 1
    rows = csv_lines(path)
    next(rows)  # the header
    for line, cells in rows:
        if len(cells) < width:
            gathered.problem("the row is cut short: it is left out", line=line)
            continue
        row = {what: cells[place].strip() for what, place in places.items()}
        _add_row(gathered, line, row, class_names or {})
    return gathered.finish(in_order=in_order, scored="score" in columns)


def _add_row(
    gathered: Gathered, line: int, row: Mapping[str, str], class_names: Mapping[str, str]
) -> None:
    name = row["image"]
    if not name:
        gathered.problem("the row names no image: it is left out", line=line)
        return
    size = None
    if row.get("width") and row.get("height"):
        size = _whole(row["height"]), _whole(row["width"])
        if min(size) <= 0:
            gathered.problem(
                f"width {row['width']!r} and height {row['height']!r} are no size in pixels: they "
                "are not used",
                line=line,
                image=name,
                kept=True,
            )
            size = None
    image = gathered.image(name, size)
    if size is not None and gathered.size(image) != size:
        height, width = gathered.size(image)
        gathered.problem(
            f"the size {size[1]} x {size[0]} differs from {width} x {height} in an earlier row: "
            "the row is left out",
            line=line,
            image=name,
        )
        return
    reader = -1
    if "reader" in row:
        if not row["reader"]:
            gathered.problem("the row names no reader: it is left out", line=line, image=name)
            return
        reader = gathered.reader(row["reader"])
        gathered.reading(image, reader)
    class_name = class_names.get(row["class"], row["class"])
    texts = [row[what] for what in _CORNERS]
    nothing = class_name.lower() in NO_FINDING
    if nothing and (class_name.lower() not in ("", "nan") or _all_empty(texts)):
        return
    if _all_empty(texts):
        gathered.problem(
            f"{class_name!r} has no coordinates: the row is left out", line=line, image=name
        )
        return
    if nothing:
        gathered.problem("the box has no class: it is left out", line=line, image=name)
        return
    score = None
    try:
        corners = [float(text) for text in texts]
        if "score" in row:
            score = float(row["score"])
    except ValueError:
        numbers = ", ".join([*texts, *([row["score"]] if "score" in row else [])])
        gathered.problem(
            f"{numbers!r:.80} are not all numbers: the box is left out", line=line, image=name
        )
        return
    gathered.box(image, class_name, corners, line=line, score=score, reader=reader)


def _all_empty(texts: Sequence[str]) -> bool:
    return all(text == "" or text.lower() == "nan" for text in texts)


def _whole(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        return -1
    if not math.isfinite(number) or number != math.floor(number) or not 0 < number < 2**31:
        return -1
    return int(number)


def write_csv_boxes(path: str | os.PathLike[str], boxes: BoxSet) -> None:
    """Writes boxes as CSV that `read_csv_boxes` reads back.

    Predictions have the columns image, class, score, x_min, y_min, x_max, y_max and a row a box.
    Other box sets have image, class, x_min, y_min, x_max, y_max, the reader where readers are
    known, and width and height where sizes are; an image without a box, or a reader's look that
    found nothing, is a row with empty cells.
    """
    header = ["image", "class", *_CORNERS]
    if boxes.score is not None:
        header.insert(2, "score")
    if boxes.reader is not None:
        header.append("reader")
    sized = boxes.score is None and bool((boxes.sizes > 0).all()) and len(boxes.images) > 0
    if sized:
        header += ["width", "height"]
    with replacing(path) as binary:
        stream = io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="")
        plain = csv.writer(stream, lineterminator="\n")
        # Before Python 3.13, csv does not quote a carriage return outside the line terminator.
        quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(header)
        sizes = boxes.sizes.tolist()
        for image, cells in _rows(boxes):
            row = [*cells, *sizes[image][::-1]] if sized else cells
            (quoting if any("\r" in str(cell) for cell in row) else plain).writerow(row)
        stream.flush()
        stream.detach()


def _rows(boxes: BoxSet) -> Iterator[tuple[int, list[object]]]:
    """(image, cells) in the order of the images; those of predictions in the order of the boxes."""
    label, corners, image = boxes.label.tolist(), boxes.corners.tolist(), boxes.image.tolist()
    score = None if boxes.score is None else boxes.score.tolist()
    reader = None if boxes.reader is None else boxes.reader.tolist()

    def cells_of(row: int) -> list[object]:
        cells: list[object] = [boxes.images[image[row]], boxes.classes[label[row]], *corners[row]]
        if score is not None:
            cells.insert(2, score[row])
        if reader is not None:
            cells.append(boxes.readers[reader[row]])
        return cells

    if score is not None:
        yield from ((image[row], cells_of(row)) for row in range(len(boxes)))
        return
    looked: dict[int, list[int]] = {}
    if boxes.readings is not None and reader is not None:
        for place, who in boxes.readings.tolist():
            looked.setdefault(place, []).append(who)
    for place, name in enumerate(boxes.images):
        rows = boxes.of_image(place).tolist()
        yield from ((place, cells_of(row)) for row in rows)
        if reader is None:
            if not rows:
                yield place, [name, "", "", "", "", ""]
            continue
        drew = {reader[row] for row in rows}
        for who in looked.get(place, []):
            if who not in drew:
                yield place, [name, "", "", "", "", "", boxes.readers[who]]
