"""Lines and cells of CSV files in UTF-8, with limits and one-line errors."""

import csv
import os
import stat
from collections.abc import Iterator, Mapping, Sequence

MAX_BYTES = 2**30


def csv_lines(
    path: str | os.PathLike[str], *, strict: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each record of a CSV file; empty lines are left out.

    Args:
        path: the file.
        strict: refuse quotes that are not closed or that text follows.

    Raises:
        ValueError: no plain file, one above 1 GiB, text that is not UTF-8 or not CSV.
        OSError: the file cannot be read.
    """
    where = os.fspath(path)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{where}: not a plain file; name a CSV file")
    if status.st_size > MAX_BYTES:
        raise ValueError(
            f"{where}: {status.st_size} bytes, more than the {MAX_BYTES} that a table may have"
        )
    line = 0
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=strict)
            for cells in reader:
                line = reader.line_num
                if cells:
                    yield line, cells
    except (UnicodeDecodeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{where}, after line {line}: {reason}; give a CSV file in UTF-8"
        ) from error


def csv_rows(
    path: str | os.PathLike[str], columns: Mapping[str, str | None]
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, {column: cell}) of each record below a CSV file's header.

    Args:
        path: the file.
        columns: those that must be there, each once and in every record, with the flag that names
            another column (or None).

    Raises:
        ValueError: as `csv_lines`; a column is absent or there twice; a record is cut short.
        OSError: the file cannot be read.
    """
    lines = csv_lines(path)
    header = next(lines, (0, []))[1]
    check_header(path, header, columns)
    for line, cells in lines:
        if any(column not in header[: len(cells)] for column in columns):
            raise ValueError(
                f"{os.fspath(path)}, line {line} is cut short: it has fewer columns than the header"
            )
        yield line, {name: cell for name, cell in zip(header, cells) if name}


def csv_header(path: str | os.PathLike[str]) -> list[str]:
    """The cells of the first line. Raises: as `csv_lines`."""
    return next(csv_lines(path), (0, []))[1]


def check_header(
    path: str | os.PathLike[str], header: Sequence[str], columns: Mapping[str, str | None]
) -> None:
    """Raises: ValueError, where a column is absent or there twice."""
    for column, flag in columns.items():
        if header.count(column) == 1:
            continue
        count = "is there twice" if column in header else "is absent"
        remedy = "" if flag is None else f"; name another by --{flag}"
        raise ValueError(
            f"{os.fspath(path)}: the column {column!r} {count}; the columns are "
            f"{', '.join(header) or 'none'}{remedy}"
        )
