"""Features in a Parquet file: one column of lists, or many columns of floats."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from examine_jax.common.shapes import Float


@dataclasses.dataclass(frozen=True)
class ParquetShard:
    """A Parquet file of features. Made by `open`.

    Attributes:
        path: of the file.
        columns: the one column of lists; or the columns of floats, in the file's order.
        rows, width: the features' shape.
        dtype: of their entries.
    """

    path: pathlib.Path
    columns: tuple[str, ...]
    rows: int
    width: int
    dtype: np.dtype

    @classmethod
    def open(cls, path: pathlib.Path) -> "ParquetShard":
        """Reads the file's schema, to find the columns that hold floats.

        Raises:
            ValueError: the file is no Parquet file, is cut short, or has no rows or no features:
                neither one column of lists of floats nor columns of floats.
            OSError: the file cannot be read.
        """
        with _reading(path), pq.ParquetFile(path) as file:
            rows, schema = file.metadata.num_rows, file.schema_arrow
            if rows == 0:
                raise ValueError("it holds no rows")
            lists = [
                field
                for field in schema
                if _is_list(field.type) and pa.types.is_floating(field.type.value_type)
            ]
            floats = [field for field in schema if pa.types.is_floating(field.type)]
            if len(lists) == 1:
                first = next(file.iter_batches(1, columns=[lists[0].name]))
                width = _of_lists(first.column(0), None).shape[1]
                entry, names = lists[0].type.value_type, [lists[0].name]
            elif not lists and floats:
                entry, names, width = floats[0].type, [field.name for field in floats], len(floats)
                if any(field.type != entry for field in floats):
                    raise ValueError("its columns of floats are not all of one type")
            else:
                raise ValueError(
                    "its features must be one column of lists of floats, or columns of floats; "
                    f"found {len(lists)} columns of lists"
                )
            if width == 0:
                raise ValueError("its features have no columns")
            return cls(path, tuple(names), rows, width, np.dtype(entry.to_pandas_dtype()))

    def chunks(
        self, rows: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Float[np.ndarray, "chunk width"]]:
        """The rows from `start` to `stop` (None: the last) in order, at most `rows` at a time.

        Row groups of the file that lie outside are not read.

        Raises:
            ValueError: the file is damaged; a value is missing, or a list has another length (the
                message names the row).
        """
        end = self.rows if stop is None else stop
        with _reading(self.path), pq.ParquetFile(self.path) as file:
            groups, place = _row_groups(file.metadata, start, end)
            for batch in file.iter_batches(rows, row_groups=groups, columns=list(self.columns)):
                first, place = place, place + batch.num_rows
                skipped = max(0, start - first)
                batch = batch.slice(skipped, max(0, min(end, place) - first - skipped))
                first += skipped
                columns = [batch.column(name) for name in self.columns]
                for name, column in zip(self.columns, columns):
                    if column.null_count:
                        row = first + int(
                            np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0]
                        )
                        raise ValueError(f"row {row} has no {name}")
                if not batch.num_rows:
                    continue
                if _is_list(columns[0].type):
                    chunk = _of_lists(columns[0], self.width, first)
                else:
                    chunk = np.stack(
                        [column.to_numpy(zero_copy_only=False) for column in columns], 1
                    )
                yield np.ascontiguousarray(chunk, self.dtype)
            found = file.metadata.num_rows
        if found != self.rows:
            raise ValueError(
                f"{self.path} has changed while it was read: {found} rows where there were "
                f"{self.rows}"
            )

    def image_names(self, column: str) -> list[str] | None:
        """The column of names; None where the file has no such column.

        Raises:
            ValueError: the column does not hold a string in every row.
        """
        with _reading(self.path), pq.ParquetFile(self.path) as file:
            if column not in file.schema_arrow.names:
                return None
            names = file.read(columns=[column]).column(0).to_pylist()
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{self.path}: the column {column} must hold a name in every row")
        return names


def _row_groups(metadata: Any, start: int, stop: int) -> tuple[list[int], int]:
    """The row groups that hold the rows from start to stop, and the first row of the first one."""
    found: list[int] = []
    first = row = 0
    for group in range(metadata.num_row_groups):
        end = row + metadata.row_group(group).num_rows
        if row < stop and start < end:
            if not found:
                first = row
            found.append(group)
        row = end
    return found, first


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _of_lists(column: Any, width: int | None, start: int = 0) -> Float[np.ndarray, "rows width"]:
    """Lists of one length as a matrix. `start` is the first list's row, for messages."""
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    width = int(lengths[0]) if width is None and lengths[0] == lengths[0] else width
    other = np.flatnonzero(lengths != width)
    if len(other):
        raise ValueError(
            f"row {start + other[0]} has {lengths[other[0]]} features where others have {width}"
        )
    entries = column.flatten()
    if entries.null_count:
        missing = int(np.flatnonzero(entries.is_null().to_numpy(zero_copy_only=False))[0])
        raise ValueError(f"row {start + missing // (width or 1)} lacks a feature")
    return entries.to_numpy(zero_copy_only=False).reshape(len(column), width or 0)


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    """Turns errors of reading an existing file into a ValueError of one line that names it."""
    with open(path, "rb"):
        pass  # raises OSError for a file that is missing or must not be read
    try:
        yield
    except (ValueError, OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} is no Parquet file of features, or is damaged: {reason}"
        ) from error
