"""Features of any size, from one file or a folder of shards, iterable repeatedly."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.features.npy_shard import NpyShard

_CHUNK_BYTES = 2**24
_ENDINGS = (".npy", ".parquet")


@runtime_checkable
class Shard(Protocol):
    """One file of features."""

    @property
    def path(self) -> pathlib.Path: ...
    @property
    def rows(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def dtype(self) -> np.dtype: ...
    def chunks(
        self, rows: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Float[np.ndarray, "chunk width"]]: ...
    def image_names(self, column: str) -> list[str] | None: ...


@dataclasses.dataclass(frozen=True)
class FeatureChunks:
    """All rows of the shards in order, 16 MiB at a time. Made by `open_features`.

    Iterating raises ValueError where a shard is damaged or holds NaN or infinite entries; the
    message names the shard and its rows.

    Attributes:
        shards: one or more, of one width and dtype.
    """

    shards: tuple[Shard, ...]

    @property
    def rows(self) -> int:
        """N, the rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def width(self) -> int:
        """D, the columns."""
        return self.shards[0].width

    @property
    def dtype(self) -> np.dtype:
        """The dtype of all shards."""
        return self.shards[0].dtype

    def __iter__(self) -> Iterator[Float[np.ndarray, "chunk width"]]:
        return self._from_to(0, self.rows)

    def part(self, rows: range) -> "FeatureRows":
        """Some of the rows, from the first to the last of a range; others are not read."""
        return FeatureRows(self, rows)

    def _from_to(self, begin: int, end: int) -> Iterator[Float[np.ndarray, "chunk width"]]:
        at_once = max(1, _CHUNK_BYTES // (self.width * self.dtype.itemsize))
        first = 0
        for shard in self.shards:
            start, stop = max(0, begin - first), min(shard.rows, end - first)
            first += shard.rows
            if start >= stop:
                continue
            for chunk in shard.chunks(at_once, start, stop):
                if not np.isfinite(chunk).all():
                    bad = start + np.flatnonzero(~np.isfinite(chunk).all(1))
                    some = ", ".join(map(str, bad[:10])) + (", …" if len(bad) > 10 else "")
                    raise ValueError(
                        f"{shard.path} holds NaN or infinite entries in its rows {some}: leave "
                        "these rows out or mend them"
                    )
                yield chunk
                start += len(chunk)

    def image_names(self, column: str = "image") -> list[str] | None:
        """The image names that the shards hold, one a row; None where they hold none.

        Args:
            column: of the Parquet files.

        Raises:
            ValueError: only some shards have the column.
        """
        names: list[str] = []
        without: pathlib.Path | None = None
        for shard in self.shards:
            found = shard.image_names(column)
            if found is None:
                without = shard.path
            else:
                names += found
            if names and without is not None:
                raise ValueError(f"{without} has no column {column}, other shards have one")
        return names or None


@dataclasses.dataclass(frozen=True)
class FeatureRows:
    """Some rows of `FeatureChunks`, iterable likewise. Made by its `part`."""

    chunks: FeatureChunks
    span: range

    @property
    def rows(self) -> int:
        """How many rows these are."""
        return len(self.span)

    @property
    def width(self) -> int:
        """D, the columns."""
        return self.chunks.width

    @property
    def dtype(self) -> np.dtype:
        """The dtype of all shards."""
        return self.chunks.dtype

    def __iter__(self) -> Iterator[Float[np.ndarray, "chunk width"]]:
        return self.chunks._from_to(self.span.start, self.span.stop)


def open_features(path: str | os.PathLike[str]) -> FeatureChunks:
    """Opens an .npy or .parquet file, or a folder of either.

    A folder's files are read in the order of their names; folders below it are ignored. In Parquet
    files, the features are one column of lists of floats, or else all columns of floats.

    Args:
        path: of the file or folder.

    Raises:
        ValueError: another ending; a folder without such files or with both kinds; a shard that is
            damaged, cut short, empty, or of another width or dtype than the first.
        OSError: the path cannot be read.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        files = sorted(
            file
            for file in path.iterdir()
            if file.suffix in _ENDINGS and not file.name.startswith(".")
        )
        if not files:
            raise ValueError(f"{path} holds no .npy or .parquet files")
        if len({file.suffix for file in files}) > 1:
            raise ValueError(
                f"{path} holds .npy and .parquet files: keep the shards of one corpus in a folder "
                "of their own"
            )
    else:
        files = [path]
    shards = tuple(_open(file) for file in files)
    for shard in shards[1:]:
        if (shard.width, shard.dtype) != (shards[0].width, shards[0].dtype):
            raise ValueError(
                f"{shard.path} has {shard.width} columns of {shard.dtype}, {shards[0].path} has "
                f"{shards[0].width} of {shards[0].dtype}: "
                "all shards must come from one encoder"
            )
    return FeatureChunks(shards)


def _open(path: pathlib.Path) -> Shard:
    if path.suffix == ".npy":
        return NpyShard.open(path)
    if path.suffix == ".parquet":
        try:
            from examine_jax.features.parquet_shard import ParquetShard
        except ImportError as error:
            raise ImportError(
                f"{path} cannot be read without pyarrow: pip install 'examine-jax[score]'"
            ) from error
        return ParquetShard.open(path)
    os.stat(path)  # raises FileNotFoundError for a missing file
    raise ValueError(
        f"{path}: features are read from .npy and .parquet files, or a folder of either"
    )
