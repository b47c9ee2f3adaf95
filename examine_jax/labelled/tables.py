"""Labels and groups of images, from a CSV file that names the images."""

import csv
import dataclasses
import os
import stat
from collections.abc import Collection, Sequence

import numpy as np

from examine_jax.common.shapes import Int

MAX_BYTES = 2**30
_SHOWN = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """A class for each image.

    Attributes:
        values: int32 [N], in the order of the images: an index into `classes`, or -1 where the file has no label.
        classes: the different labels as they are written, without the spaces around them, in order: as numbers if all of them are, else
            by code point.
    """

    values: Int[np.ndarray, " images"]
    classes: tuple[str, ...]


def read_labels(
    path: str | os.PathLike[str],
    names: Sequence[str],
    *,
    image_column: str = "image",
    label_column: str = "label",
    partial: bool = False,
    skipped: Collection[str] = (),
) -> Labels:
    """Reads the label of each image from a CSV file with a header line, in UTF-8; other columns are passed over.

    Groups (patient, slide) are read the same way, with `label_column="group"`.

    Args:
        path: the file.
        names: of the images, as in `ImageSet.names`.
        image_column: the header of the column that names the images.
        label_column: the header of the column with their labels.
        partial: whether images may be without a label: in no row, or in one whose label is empty or "nan". They get -1.
        skipped: images that could not be read: what the file says of them is passed over.

    Raises:
        ValueError: a row for an image that is not there, an image without a row, two rows for one image, a missing column, text that is not
            UTF-8 or CSV. The message names the file, the images and what to do.
        OSError: the file cannot be read.
    """
    where = os.fspath(path)
    rows = {name: row for row, name in enumerate(names)}
    found: dict[str, str] = {}
    strangers: list[str] = []
    passed_over = frozenset(skipped)
    for line, image, text in _records(path, image_column, label_column):
        label = text.strip()
        label = "" if label.lower() == "nan" else label  # so some write what is missing
        if image not in rows:
            if image not in passed_over:
                strangers.append(image)
        elif image in found:
            raise ValueError(f"{where}, line {line}: a second row for {image!r}; keep one")
        elif label == "" and not partial:
            raise ValueError(f"{where}, line {line}: {image!r} has an empty {label_column}; fill it in")
        else:
            found[image] = label
    if strangers:
        raise ValueError(
            f"{where} has rows for images that are not there: {_listed(strangers)}; add those images, remove the rows, or name them as the "
            f"images are ({', '.join(map(repr, names[:2]))}, ...)"
        )
    missing = [name for name in names if name not in found]
    if missing and not partial:
        raise ValueError(f"{where} has no row for {_listed(missing)}; add a {label_column} for each image")
    classes = _in_order({label for label in found.values() if label != ""})
    codes = {label: code for code, label in enumerate(classes)}
    values = np.array([codes.get(found.get(name, ""), -1) for name in names], np.int32)
    return Labels(values, classes)


def check_label_file(path: str | os.PathLike[str], image_column: str = "image", label_column: str = "label") -> None:
    """Refuses early what `read_labels` would refuse whatever the images are called. Raises: as there."""
    _records(path, image_column, label_column)


def read_groups(
    path: str | os.PathLike[str],
    rows: int,
    names: Sequence[str] | None,
    image_column: str = "image",
    group_column: str = "group",
) -> Labels:
    """The group (patient, slide) of each row of a matrix, by its image's name or, in a file without that column, by `index` from 0.

    Raises:
        ValueError, OSError: as `read_labels`; names are asked for where the rows have none.
    """
    if image_column in _header(path):
        if names is None:
            raise ValueError(
                f"{os.fspath(path)} names images, the features have no names: give a file of names, or a column index instead"
            )
        return read_labels(path, names, image_column=image_column, label_column=group_column)
    indices = [str(row) for row in range(rows)]
    return read_labels(path, indices, image_column="index", label_column=group_column)


def _header(path: str | os.PathLike[str]) -> Sequence[str]:
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as stream:
        return next(csv.reader([stream.readline(2**20)]), [])


def _records(path: str | os.PathLike[str], image_column: str, label_column: str) -> list[tuple[int, str, str]]:
    """(line, image, label) of each row."""
    where = os.fspath(path)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{where}: not a plain file; name a CSV file with the columns {image_column}, {label_column}")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"{where}: {status.st_size} bytes, more than the {MAX_BYTES} that a label file may have")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = reader.fieldnames or []
            for column in (image_column, label_column):
                if header.count(column) != 1:
                    count = "twice" if column in header else "no"
                    raise ValueError(f"column {column!r}: {count} such; the columns are {', '.join(header) or 'none'}")
            records = []
            for record in reader:
                image, label = record[image_column], record[label_column]
                if image is None or label is None:
                    raise ValueError(f"line {reader.line_num} is cut short: it has fewer columns than the header")
                records.append((reader.line_num, image, label))
            return records
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{where}: {' '.join(str(error).split())}; give a CSV file in UTF-8 with a header") from error


def _in_order(labels: set[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(labels, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(sorted(labels))


def _listed(names: Sequence[str]) -> str:
    shown_names = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown_names + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
