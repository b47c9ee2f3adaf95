"""Tables about images: labels, groups and names, keyed by image or by index."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.csv_lines import check_header, csv_header, csv_rows
from examine_jax.common.shapes import Int, Shaped

_SHOWN = 5
_INDEX = "index"
_IMAGE_COLUMN_FLAG = "image_column"
_FILE_NAME = re.compile(
    r".+\.(png|jpe?g|tiff?|bmp|gif|webp|jp2|dcm|dicom|npy|svs|nii|nii\.gz)", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """A class for each image.

    Attributes:
        values: int32 [N], in the order of the images: an index into `classes`, or -1 where the file
            has no label.
        classes: the different labels as they are written, without the spaces around them, in order:
            as numbers if all of them are, else by code point.
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
    """The label of each image, from a CSV file that names images.

    The file is in UTF-8 and has a header line; other columns are ignored.

    Groups (patient, slide) are read the same way, with `label_column="group"`.

    Args:
        path: the file.
        names: of the images, as in `ImageSet.names`.
        image_column: the header of the column that names the images.
        label_column: the header of the column with their labels.
        partial: whether images may be without a label: in no row, or in one whose label is empty or
            "nan". They get -1.
        skipped: images that could not be read: their rows are ignored.

    Raises:
        ValueError: a row for an image that is not there, an image without a row, two rows for one
            image, a missing column, text that is not UTF-8 or CSV. The message names the file, the
            images and the remedy.
        OSError: the file cannot be read.
    """
    texts = _by_name(
        path, names, image_column, label_column, "label_column", partial=partial, ignored=skipped
    )
    return _coded(texts)


def check_label_file(
    path: str | os.PathLike[str], image_column: str = "image", label_column: str = "label"
) -> None:
    """Refuses early what `read_labels` would refuse whatever the images are called.

    Raises: as there.
    """
    for _ in csv_rows(path, {image_column: _IMAGE_COLUMN_FLAG, label_column: "label_column"}):
        pass


def read_groups(
    path: str | os.PathLike[str],
    rows: int,
    names: Sequence[str] | None,
    image_column: str = "image",
    group_column: str = "group",
) -> Labels:
    """The group (patient, slide) of each row of a matrix, from a CSV file keyed by image or index.

    The index counts from 0.

    Raises:
        ValueError, OSError: as `read_labels`; the file names images and the rows have no names;
            index and image contradict each other.
    """
    header = csv_header(path)
    if image_column not in header and _INDEX not in header:
        _refuse_other_names(path, header, names, image_column, group_column)
        check_header(path, header, {image_column: _IMAGE_COLUMN_FLAG})
    return _coded(
        _keyed(path, header, rows, names, image_column, group_column, "group_column", partial=False)
    )


def read_column(
    path: str | os.PathLike[str],
    rows: int,
    column: str,
    names: Sequence[str] | None = None,
    image_column: str = "image",
    *,
    column_flag: str | None = "label_column",
) -> Shaped[np.ndarray, " rows"]:
    """One entry for each row of a matrix: a .npy array [N], or a CSV file's column as text.

    A CSV file is matched to the rows by its column `index` (from 0) or by the images' names. A file
    with neither is matched by order, unless another of its columns holds names. Rows that it does
    not list get the empty text, also those with the text "nan"; images that are not among the rows
    are ignored.

    Args:
        path: the file.
        rows: of the matrix.
        column: the header of the column to read.
        names: of the rows' images, or None.
        image_column: the header of the column that names images.
        column_flag: the command's flag for `column`, for messages; None: there is none.

    Raises:
        ValueError: another ending, another number of entries, no such column, an index or image
            that is there twice or unknown, index and image that contradict each other, names in
            another column, pickled objects, not UTF-8.
        OSError: the file cannot be read.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _array(path, rows)
    if suffix != ".csv":
        os.stat(path)  # a file that is not there has a message of its own
        raise ValueError(f"{path}: labels and groups are read from .npy and .csv files")
    header = csv_header(path)
    check_header(path, header, {column: column_flag})
    if _INDEX in header or image_column in header:
        texts = _keyed(path, header, rows, names, image_column, column, column_flag, partial=True)
    else:
        _refuse_other_names(path, header, names, image_column, column)
        texts = [_present(cells[column]) for _, cells in csv_rows(path, {column: column_flag})]
        if len(texts) != rows:
            raise ValueError(
                f"{path} has {len(texts)} lines for {rows} rows; give one each, a column {_INDEX}, "
                "or the images' names in a column "
                f"(--{_IMAGE_COLUMN_FLAG})"
            )
    return np.array(texts)


def _keyed(
    path: str | os.PathLike[str],
    header: Sequence[str],
    rows: int,
    names: Sequence[str] | None,
    image_column: str,
    column: str,
    column_flag: str | None,
    *,
    partial: bool,
) -> list[str]:
    """The column's entry for each row of a matrix, by index or by image.

    A partial table may lack rows and name other images.
    """
    if _INDEX not in header:
        if names is None:
            raise ValueError(
                f"{os.fspath(path)} names images, the features have no names: give a file of "
                f"names, or a column {_INDEX} instead"
            )
        return _by_name(
            path, names, image_column, column, column_flag, partial=partial, others=partial
        )
    columns = {_INDEX: None, column: column_flag}
    compared = names is not None and image_column in header
    if compared:
        columns[image_column] = _IMAGE_COLUMN_FLAG
    keyed = []
    for line, cells in csv_rows(path, columns):
        index = _row_number(path, line, cells[_INDEX], rows)
        if compared and names is not None and names[index] != cells[image_column]:
            raise ValueError(
                f"{os.fspath(path)}, line {line}: index {index} is {names[index]!r}, but the "
                f"column {image_column!r} has "
                f"{cells[image_column]!r}: correct the table, or remove one of the two columns"
            )
        keyed.append((line, str(index), cells[column]))
    return _match(path, keyed, [str(row) for row in range(rows)], column, partial=partial)


def _by_name(
    path: str | os.PathLike[str],
    names: Sequence[str],
    image_column: str,
    column: str,
    column_flag: str | None,
    *,
    partial: bool,
    others: bool = False,
    ignored: Collection[str] = (),
) -> list[str]:
    """The column's entry for each image. `others`: rows for unknown images are ignored."""
    columns = {image_column: _IMAGE_COLUMN_FLAG, column: column_flag}
    keyed = [(line, cells[image_column], cells[column]) for line, cells in csv_rows(path, columns)]
    if others:
        known = set(names)
        listed = [entry for entry in keyed if entry[1] in known]
        if keyed and not listed:
            raise ValueError(
                f"{os.fspath(path)} names none of the images in its column {image_column!r}: is it "
                "of another set, or are the names "
                f"in another column (--{_IMAGE_COLUMN_FLAG})?"
            )
        keyed = listed
    return _match(path, keyed, names, column, partial=partial, ignored=ignored)


def _match(
    path: str | os.PathLike[str],
    keyed: Iterable[tuple[int, str, str]],
    names: Sequence[str],
    column: str,
    *,
    partial: bool,
    ignored: Collection[str] = (),
) -> list[str]:
    """The text for each name, from (line, name, text); "" where a partial table has none."""
    where = os.fspath(path)
    known, ignored = frozenset(names), frozenset(ignored)
    found: dict[str, str] = {}
    strangers: list[str] = []
    for line, name, cell in keyed:
        text = _present(cell)
        if name not in known:
            if name not in ignored:
                strangers.append(name)
        elif name in found:
            raise ValueError(f"{where}, line {line}: a second row for {name!r}; keep one")
        elif text == "" and not partial:
            raise ValueError(f"{where}, line {line}: {name!r} has an empty {column}; fill it in")
        else:
            found[name] = text
    if strangers:
        raise ValueError(
            f"{where} has rows for images that are not there: {_listed(strangers)}; add those "
            "images, remove the rows, or name them as "
            f"the images are ({', '.join(map(repr, names[:2]))}, ...)"
        )
    missing = [name for name in names if name not in found]
    if missing and not partial:
        raise ValueError(
            f"{where} has no row for {_listed(missing)}; add a {column} for each image"
        )
    return [found.get(name, "") for name in names]


def _refuse_other_names(
    path: str | os.PathLike[str],
    header: Sequence[str],
    names: Sequence[str] | None,
    image_column: str,
    column: str,
) -> None:
    """Refuses a table that names images in a column other than `image_column`.

    The order of its rows need not be that of the images.
    """
    others = [name for name in dict.fromkeys(header) if name not in (column, "")]
    if not others:
        return
    known = (
        None if names is None else {*names, *(pathlib.PurePosixPath(name).stem for name in names)}
    )
    total, hits = 0, dict.fromkeys(others, 0)
    for _, cells in csv_rows(path, {}):
        total += 1
        for name in others:
            cell = cells.get(name, "").strip()
            hits[name] += bool(_FILE_NAME.fullmatch(cell)) if known is None else cell in known
    holding = [name for name in others if hits[name] > total / 2]
    if holding:
        remedy = "" if names is not None else ", and a file of names beside the features"
        raise ValueError(
            f"{os.fspath(path)} names images in the column {holding[0]!r}, not {image_column!r}: "
            "give "
            f"--{_IMAGE_COLUMN_FLAG}={holding[0]}{remedy}, or a column {_INDEX}"
        )


def is_missing(text: str) -> bool:
    """Whether a cell holds no label: it is empty, or the text "nan"."""
    return text.strip().lower() in ("", "nan")


def _present(cell: str) -> str:
    return "" if is_missing(cell) else cell.strip()


def _coded(texts: Sequence[str]) -> Labels:
    classes = _in_order({text for text in texts if text != ""})
    codes = {text: code for code, text in enumerate(classes)}
    return Labels(np.array([codes.get(text, -1) for text in texts], np.int32), classes)


def _in_order(labels: set[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(labels, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(sorted(labels))


def _array(path: pathlib.Path, rows: int) -> Shaped[np.ndarray, " rows"]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no readable .npy file of numbers or text ({error})") from error
    if (
        not isinstance(array, np.ndarray)
        or array.shape not in ((rows,), (rows, 1))
        or array.dtype.kind not in "biufU"
    ):
        raise ValueError(
            f"{path} must hold one number or text for each of {rows} rows, an array of shape "
            f"({rows},)"
        )
    return native(array).reshape(rows)


def _row_number(path: str | os.PathLike[str], line: int, text: str, rows: int) -> int:
    try:
        found = int(text)
    except ValueError:
        found = -1
    if not 0 <= found < rows:
        raise ValueError(
            f"{os.fspath(path)}, line {line}: index {text!r} is none of 0 to {rows - 1}"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    shown_names = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown_names + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
