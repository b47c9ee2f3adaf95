"""A column that says something of each row of a matrix: its label, its group; from a .npy or a .csv file."""

import csv
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import Shaped

_MOST_BYTES = 2**30


def read_column(
    path: str | os.PathLike[str],
    rows: int,
    column: str,
    names: Sequence[str] | None = None,
    image_column: str = "image",
) -> Shaped[np.ndarray, " rows"]:
    """One entry a row: a .npy array [N] of numbers or text, or a CSV file's column (text).

    A CSV file is matched to the rows by its column `index` (from 0), else by the images' names where these are known and it has them,
    else by order. Rows of which it says nothing get the empty text.

    Raises:
        ValueError: another ending, another number of entries, no such column, an index or image that is there twice or unknown, pickled
            objects, not UTF-8.
        OSError: it cannot be read.
    """
    path = pathlib.Path(path)
    if path.suffix == ".npy":
        return _array(path, rows)
    if path.suffix != ".csv":
        os.stat(path)  # one that is not there at all says so
        raise ValueError(f"{path}: labels and groups are read from .npy and .csv files")
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} is larger than 1 GiB: is this a table with one line a row?")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            header = list(reader.fieldnames or ())
            if column not in header:
                raise ValueError(
                    f"{path} has no column {column!r}; it has {', '.join(map(repr, header)) or 'none'}: name it by a flag"
                )
            records = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file in UTF-8 ({error})") from error
    entries = [(record[column] or "").strip() for record in records]
    if "index" in header:
        keys = [_index(path, record["index"], rows) for record in records]
    elif names is not None and image_column in header:
        place = {name: row for row, name in enumerate(names)}
        known = [
            (place[record[image_column]], entry)
            for record, entry in zip(records, entries)
            if record[image_column] in place
        ]
        if not known:
            raise ValueError(f"{path} names none of the images in its column {image_column!r}; is it of another set?")
        keys, entries = [row for row, _ in known], [entry for _, entry in known]
    else:
        if len(records) != rows:
            raise ValueError(f"{path} has {len(records)} lines for {rows} rows; give one each, or a column index")
        keys = list(range(rows))
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    if twice:
        raise ValueError(f"{path} has rows {', '.join(map(str, twice[:8]))} more than once")
    found = np.full(rows, "", dtype=np.array([*entries, ""]).dtype)
    found[keys] = entries
    return found


def _array(path: pathlib.Path, rows: int) -> Shaped[np.ndarray, " rows"]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no readable .npy file of numbers or text ({error})") from error
    if not isinstance(array, np.ndarray) or array.shape not in ((rows,), (rows, 1)) or array.dtype.kind not in "biufU":
        raise ValueError(f"{path} must hold one number or text for each of {rows} rows, an array of shape ({rows},)")
    return array.reshape(rows)


def _index(path: pathlib.Path, text: str | None, rows: int) -> int:
    try:
        found = int(text or "")
    except ValueError:
        found = -1
    if not 0 <= found < rows:
        raise ValueError(f"{path}: index {text!r} is none of 0 to {rows - 1}")
    return found
