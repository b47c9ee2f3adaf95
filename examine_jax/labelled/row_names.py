"""Files that name the rows of features."""

import os
import pathlib

from examine_jax.common.csv_lines import MAX_BYTES, csv_rows

_ENDINGS = (".csv", ".txt")
_INDEX = "index"
_IMAGE_COLUMN_FLAG = "image_column"


def names_beside(features: str | os.PathLike[str]) -> pathlib.Path | None:
    """The file of names that belongs to features, or None.

    For F.npy it is F.names.csv or F.names.txt, else names.csv or names.txt in the same folder; for
    a folder of shards, in that folder.

    Raises:
        ValueError: there are two.
    """
    features = pathlib.Path(features)
    folder = features if features.is_dir() else features.parent
    own = (
        []
        if features.is_dir()
        else [features.with_suffix(f".names{ending}") for ending in _ENDINGS]
    )
    for candidates in (own, [folder / f"names{ending}" for ending in _ENDINGS]):
        found = [candidate for candidate in candidates if candidate.is_file()]
        if len(found) > 1:
            raise ValueError(f"{found[0]} and {found[1].name} both hold names: say which is meant")
        if found:
            return found[0]
    return None


def read_names(path: str | os.PathLike[str], rows: int, column: str = "image") -> list[str]:
    """The image name of each row of a matrix, from a .txt file's lines or a CSV file's column.

    If a CSV file has a column `index` too, it must count the rows from 0.

    Raises:
        ValueError: another ending, no such column, not as many names as rows, not UTF-8.
        OSError: the file cannot be read.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix == ".txt":
        names = _lines_of_text(path)
    elif suffix == ".csv":
        names = []
        for line, cells in csv_rows(path, {column: _IMAGE_COLUMN_FLAG}):
            if cells.get(_INDEX, str(len(names))) != str(len(names)):
                raise ValueError(
                    f"{path}, line {line}: the index is {cells[_INDEX]}, not {len(names)}: names "
                    "must be in the order of the rows"
                )
            names.append(cells[column])
    else:
        os.stat(path)  # a file that is not there has a message of its own
        raise ValueError(f"{path}: names are read from .csv and .txt files")
    if len(names) != rows:
        raise ValueError(
            f"{path} has {len(names)} names for {rows} rows of features; every row needs one name"
        )
    return names


def _lines_of_text(path: pathlib.Path) -> list[str]:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(
            f"{path}: {path.stat().st_size} bytes, more than the {MAX_BYTES} that a table may have"
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [line.removesuffix("\n").removesuffix("\r") for line in stream]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: {' '.join(str(error).split())}; give a text file in UTF-8"
        ) from error
