"""The training set: named columns of one length, checked, described and fingerprinted."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array
from examine_jax.training.method import IMAGE, Trainable, required_columns
from examine_jax.training.settings import PretrainSettings

INDEX = "index"  # added to every batch: the row numbers
FILES = "names_sizes_and_times"  # of a column's files; earlier versions did not write it
_FINGERPRINTED = 16  # the number of rows that are hashed, if a column is read on demand


@runtime_checkable
class Column(Protocol):
    """One value per example: a NumPy array, or an object that reads rows on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any:
        """Values [B, ...] for int32 indices [B]."""


Columns = Mapping[str, Column]
Data = Column | Columns
"""A training set: columns by name, or only the images, which become the column "image"."""


@dataclasses.dataclass(frozen=True)
class RowSpec:
    """Shape and dtype of one row of each column; a hashable object."""

    columns: tuple[tuple[str, tuple[int, ...], str], ...]  # name, shape of a row, dtype

    @classmethod
    def of(cls, columns: Columns) -> "RowSpec":
        return cls(
            tuple(
                (name, tuple(column.shape[1:]), str(dtype_of(column)))
                for name, column in columns.items()
            )
        )

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes and dtypes of a batch, including "index"."""
        shapes = {
            name: jax.ShapeDtypeStruct((batch_size, *shape), dtype)
            for name, shape, dtype in self.columns
        }
        return {**shapes, INDEX: jax.ShapeDtypeStruct((batch_size,), jnp.int32)}

    def example_batch(self, batch_size: int) -> dict[str, Array]:
        """A batch of zeros; its "index" is 0 to batch_size - 1."""
        zeros = {
            name: jnp.zeros(leaf.shape, leaf.dtype)
            for name, leaf in self.batch_shapes(batch_size).items()
        }
        return {**zeros, INDEX: jnp.arange(batch_size, dtype=jnp.int32)}


def dtype_of(column: Column) -> np.dtype:
    """The dtype of a column on the device: int64 and float64 become int32 and float32.

    A column without a dtype counts as uint8.
    """
    return np.dtype(jax.dtypes.canonicalize_dtype(getattr(column, "dtype", np.uint8)))


def as_columns(data: Data) -> dict[str, Column]:
    """Columns by name.

    If only images are given, they become the column "image". Arrays are converted to the dtype that
    they have on the device.
    """
    named = dict(data) if isinstance(data, Mapping) else {IMAGE: data}
    return {name: _on_device_type(column) for name, column in named.items()}


def _on_device_type(column: Column) -> Column:
    return column.astype(dtype_of(column), copy=False) if isinstance(column, np.ndarray) else column


def count_rows(columns: Columns) -> int:
    """The number of examples."""
    return len(next(iter(columns.values())))


def check_columns(sets: Sequence[Columns], method: Trainable, settings: PretrainSettings) -> None:
    """Checks one training set for each phase.

    Raises:
        ValueError: the numbers of sets and phases differ; a column that the method needs is
            missing; the columns of a set differ in length; the columns of two sets differ in shape;
            images are not uint8 [N, H, W, C].
    """
    if len(sets) != len(settings.phases):
        raise ValueError(
            f"train: {len(settings.phases)} phases need one training set each, got {len(sets)}"
        )
    for columns in sets:
        for name in required_columns(method):
            if name not in columns:
                raise ValueError(
                    f"{type(method).__name__} needs a column {name!r} for its training set, which "
                    f"has: {', '.join(columns)}"
                )
        if INDEX in columns:
            raise ValueError(
                f"train: the column {INDEX!r} is added by the loop; give yours another name"
            )
        if IMAGE in columns:
            _check_images(columns[IMAGE])
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"train: the columns differ in length: {lengths}; give one value each an image"
            )
        if (here := RowSpec.of(columns)) != (there := RowSpec.of(sets[0])):
            raise ValueError(
                f"train: the phases' images differ in shape or columns: {_described(there)} and "
                f"{_described(here)}"
            )


def _check_images(images: Column) -> None:
    dtype = getattr(images, "dtype", np.dtype(np.uint8))
    if dtype != np.uint8 or len(images.shape) != 4:
        raise ValueError(
            f"train: images must be uint8 [N, height, width, channels], got {dtype} "
            f"{tuple(images.shape)}"
        )


def _described(spec: RowSpec) -> str:
    return ", ".join(f"{name} {dtype}{list(shape)}" for name, shape, dtype in spec.columns)


def names_by_set(names: Any, sets: Sequence[Columns]) -> tuple[Sequence[str] | None, ...]:
    """The images' names for each set: `names`, or else those that the images hold, if any."""
    if names is None:
        return tuple(getattr(columns.get(IMAGE), "names", None) for columns in sets)
    lists = tuple(names) if len(sets) > 1 else (names,)
    counts = [count_rows(columns) for columns in sets]
    if [len(each) for each in lists] != counts:
        raise ValueError(
            f"train: {[len(each) for each in lists]} names for {counts} images; give one each"
        )
    return lists


def fingerprints(sets: Sequence[Columns], method: Trainable) -> dict[str, Any]:
    """The training sets in the run's configuration: only columns that change the parameters."""
    needed = required_columns(method)
    found: dict[str, Any] = {}
    if IMAGE in needed:
        found["images"] = [fingerprint(columns[IMAGE]) for columns in sets]
    others = {
        name: [fingerprint(columns[name]) for columns in sets] for name in needed if name != IMAGE
    }
    return found | ({"columns": others} if others else {})


def fingerprint(column: Column) -> dict[str, Any]:
    """Identifies a column by a hash: of a whole array, or of some rows that are read on demand.

    Images that are read from files are also identified by all files' names, sizes and times.
    """
    if isinstance(column, np.ndarray):
        return {
            "shape": list(column.shape),
            "sha256": hashlib.sha256(np.ascontiguousarray(column).data).hexdigest(),
        }
    some = np.unique(np.linspace(0, len(column) - 1, _FINGERPRINTED).astype(np.int32))
    sample = np.ascontiguousarray(column[some])
    found = {
        "shape": [int(n) for n in column.shape],
        "sha256_of_some": hashlib.sha256(sample.data).hexdigest(),
    }
    files: Sequence[str] = getattr(column, "files", ())
    return found | ({FILES: _hash_of_files(column, files)} if files else {})


def _hash_of_files(column: Column, files: Sequence[str]) -> str:
    """A hash of the images' names and of their files' sizes and times of change."""
    digest = hashlib.sha256()
    # Without names, a folder may still be moved.
    for name, path in zip(getattr(column, "names", map(os.path.basename, files)), files):
        status = os.stat(path)
        digest.update(f"{name}\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()
