"""Names of the images that the rows of a matrix came from, in a text or CSV file beside it."""

import csv
import os
import pathlib

_ENDINGS = (".csv", ".txt")


def names_beside(features: str | os.PathLike[str]) -> pathlib.Path | None:
    """The file of names that belongs to features, or None: for F.npy F.names.csv or F.names.txt, else names.csv or names.txt beside it or,
    for a folder of shards, in it.

    Raises:
        ValueError: there are two.
    """
    features = pathlib.Path(features)
    folder = features if features.is_dir() else features.parent
    own = [] if features.is_dir() else [features.with_suffix(f".names{ending}") for ending in _ENDINGS]
    for candidates in (own, [folder / f"names{ending}" for ending in _ENDINGS]):
        found = [candidate for candidate in candidates if candidate.is_file()]
        if len(found) > 1:
            raise ValueError(f"{found[0]} and {found[1].name} both hold names: say which is meant")
        if found:
            return found[0]
    return None


def read_names(path: str | os.PathLike[str], rows: int, column: str = "image") -> list[str]:
    """One name a row of the features: the lines of a .txt file, or a CSV file's column, in UTF-8.

    Where a CSV file has a column `index` too, it must count the rows from 0.

    Raises:
        ValueError: another ending, no such column, not as many names as rows, not UTF-8.
        OSError: it cannot be read.
    """
    path = pathlib.Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            if path.suffix == ".txt":
                names = [line.removesuffix("\n").removesuffix("\r") for line in stream]
            elif path.suffix == ".csv":
                names = _column(csv.DictReader(stream, strict=True), column)
            else:
                raise ValueError("names are read from .csv and .txt files")
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    if len(names) != rows:
        raise ValueError(f"{path} has {len(names)} names for {rows} rows of features; every row needs one name")
    return names


def _column(reader: "csv.DictReader[str]", column: str) -> list[str]:
    header = reader.fieldnames or []
    if column not in header:
        raise ValueError(f"there is no column {column}; the columns are {', '.join(header) or 'none'}")
    names = []
    for index, record in enumerate(reader):
        if record[column] is None:
            raise ValueError(f"record {index} has no {column}")
        if record.get("index", str(index)) != str(index):
            raise ValueError(
                f"record {index} has the index {record['index']}: the names must be in the order of the rows"
            )
        names.append(record[column])
    return names
