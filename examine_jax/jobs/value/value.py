"""The valuation job: files of features or images in, a table of values and a page out."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from examine_jax.common.atomic_files import check_not_read
from examine_jax.common.progress import bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, Shaped
from examine_jax.features.feature_chunks import open_features
from examine_jax.images import SkippedImage
from examine_jax.jobs.embed import embedded
from examine_jax.jobs.value.page import write_values
from examine_jax.labelled.labelled_rows import LabelledRows
from examine_jax.labelled.tables import names_beside, read_column, read_names
from examine_jax.reporting.tables import write_skipped
from examine_jax.valuation import FeatureValues, ValueSettings, value_features

# In the workdir, besides what a killed run continues from.
WRITTEN = ("values.csv", "standard_errors.csv", "skipped.csv", "config.json", "values.html")


@dataclasses.dataclass(frozen=True)
class ValueFiles:
    """The files that a valuation reads, and the folder that it writes."""

    workdir: str | os.PathLike[str] = setting(
        help="Results go here. The same command again continues a killed run.",
        metavar="FOLDER",
        main=True,
    )
    features: str | os.PathLike[str] | None = setting(
        None, "An .npy or .parquet file [N, D], or a folder of either.", metavar="PATH", main=True
    )
    images: str | os.PathLike[str] | None = setting(
        None,
        "Images instead: a folder, .npy or .npz file; with --encoder.",
        metavar="PATH",
        main=True,
    )
    encoder: str | os.PathLike[str] | None = setting(
        None, "A trained encoder's folder, for --images.", metavar="PATH", main=True
    )
    labels: str | os.PathLike[str] | None = setting(
        None,
        "A .csv or .npy file, one label a row; label-free valuers need none.",
        metavar="FILE",
        main=True,
    )
    groups: str | os.PathLike[str] | None = setting(
        None,
        "A .csv or .npy file: each row's patient or slide. Folds keep groups whole.",
        metavar="FILE",
        main=True,
    )
    validation_features: str | os.PathLike[str] | None = setting(
        None,
        "The validation set, which defines a model's worth. If not given: folds.",
        metavar="PATH",
        main=True,
    )
    validation_labels: str | os.PathLike[str] | None = setting(
        None, "Its labels.", metavar="FILE", main=True
    )
    validation_groups: str | os.PathLike[str] | None = setting(
        None, "Its groups, none of which may be among --groups.", metavar="FILE"
    )
    label_column: str = setting("label", "The header of the labels' column.", metavar="NAME")
    group_column: str = setting("group", "The header of the groups' column.", metavar="NAME")
    image_column: str = setting("image", "The header of the names' column.", metavar="NAME")

    def __post_init__(self) -> None:
        if (self.features is None) == (self.images is None):
            raise ValueError("give --features=FILE, or --images=DIR with --encoder=FOLDER")
        if (self.images is None) != (self.encoder is None):
            raise ValueError(
                "--images and --encoder=FOLDER go together (examine-assess trains one: its "
                "OUT/encoder)"
            )
        if (self.validation_features is None) != (self.validation_labels is None):
            raise ValueError("--validation_features and --validation_labels go together")
        if self.validation_groups is not None and (
            self.validation_features is None or self.groups is None
        ):
            raise ValueError(
                "--validation_groups are compared with --groups: give both, and "
                "--validation_features"
            )
        read = (
            *(self.features, self.images, self.labels, self.groups),
            *(self.validation_features, self.validation_labels, self.validation_groups),
        )
        check_not_read((pathlib.Path(self.workdir) / name for name in WRITTEN), read)


@dataclasses.dataclass(frozen=True, eq=False)
class ValuedFiles:
    """What `value_files` found and wrote.

    Attributes:
        values: of the rows.
        page: the page's path.
        skipped: images that could not be read; they are listed in skipped.csv.
    """

    values: FeatureValues
    page: pathlib.Path
    skipped: tuple[SkippedImage, ...]


def value_files(files: ValueFiles, settings: ValueSettings, *, device: str = "") -> ValuedFiles:
    """Values rows that are read from files; writes values.csv, values.html and more.

    `write_values` lists the files.

    Args:
        files: what is read, and where results go.
        settings: which valuers, and how.
        device: for the page.

    Raises:
        ValueError, OSError, ImportError: as `value_features`; files that cannot be read or do not
            fit one another.
    """
    rows, skipped = _rows(files)
    validation = _validation(files)
    workdir = pathlib.Path(files.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    write_skipped(workdir / "skipped.csv", skipped)
    with _progress_bars() as on_progress:
        found = value_features(
            rows, workdir, settings, validation=validation, on_progress=on_progress
        )
    against = (
        "by folds of the rows themselves"
        if validation is None
        else f"against {len(validation.features)} validation rows"
    )
    source = pathlib.Path(files.features or files.images or "").name
    page = write_values(
        workdir, found, settings, names=rows.names, source=source, validation=against, device=device
    )
    return ValuedFiles(found, page, skipped)


def _rows(files: ValueFiles) -> tuple[LabelledRows, tuple[SkippedImage, ...]]:
    """The rows to be valued, and the images that could not be read."""
    if files.features is not None:
        return _labelled(files, files.features, files.labels, files.groups), ()
    found = embedded(files.images or "", files.encoder or "")
    rows = _with_columns(files, found.features, found.names, files.labels, files.groups)
    return dataclasses.replace(rows, pixels=found.images), found.skipped


def _validation(files: ValueFiles) -> LabelledRows | None:
    if files.validation_features is None:
        return None
    return _labelled(
        files, files.validation_features, files.validation_labels, files.validation_groups
    )


def _labelled(
    files: ValueFiles,
    path: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None,
    groups: str | os.PathLike[str] | None,
) -> LabelledRows:
    """Features in files, with their names, labels and groups."""
    chunks = open_features(path)
    names = chunks.image_names(files.image_column)
    if names is None and (beside := names_beside(path)) is not None:
        names = read_names(beside, chunks.rows, files.image_column)
    return _with_columns(
        files, np.concatenate(list(chunks)), None if names is None else tuple(names), labels, groups
    )


def _with_columns(
    files: ValueFiles,
    features: Float[np.ndarray, "n d"],
    names: tuple[str, ...] | None,
    labels: str | os.PathLike[str] | None,
    groups: str | os.PathLike[str] | None,
) -> LabelledRows:
    def column(path: str | os.PathLike[str] | None, flag: str) -> Shaped[np.ndarray, " n"] | None:
        if path is None:
            return None
        header = getattr(files, flag)
        return read_column(path, len(features), header, names, files.image_column, column_flag=flag)

    return LabelledRows(
        features, column(labels, "label_column"), column(groups, "group_column"), names
    )


@contextmanager
def _progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr for each valuer in turn, as a function of (valuer, done, total)."""
    bars: dict[str, Any] = {}

    def progress(name: str, done: int, total: int) -> None:
        if name not in bars:
            for shown in bars.values():
                shown.close()
            bars[name] = bar(total=total, desc=name)
        bars[name].update(done - bars[name].n)

    try:
        yield progress
    finally:
        for shown in bars.values():
            shown.close()
