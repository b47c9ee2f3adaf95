"""The valuation job: files of features or images in, a table of values and a page out."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from examine_jax.common.atomic_files import check_not_read
from examine_jax.common.processes import is_first
from examine_jax.common.progress import bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, Shaped
from examine_jax.features.feature_chunks import open_features
from examine_jax.images import SkippedImage
from examine_jax.jobs.columns_beside import column_beside
from examine_jax.jobs.embed import embedded
from examine_jax.jobs.headers import HIDE_IDS, JobHeaders, PrivacySettings, names_in_table
from examine_jax.jobs.value.page import write_values
from examine_jax.labelled.header_groups import HEADER_GROUPS, GroupBy, groups_of_images
from examine_jax.labelled.labelled_rows import LabelledRows
from examine_jax.labelled.row_names import names_beside, read_names
from examine_jax.labelled.tables import read_column
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
    group_by: GroupBy | None = setting(
        None,
        "In place of --groups: rows of one patient, study or series by DICOM headers or by the "
        "columns that launch.embed writes, of one folder, or of one slide, volume or file.",
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
        if self.groups is not None and self.group_by is not None:
            raise ValueError("--groups and --group_by both say the groups: leave one of them out")
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


def value_files(
    files: ValueFiles,
    settings: ValueSettings,
    *,
    privacy: PrivacySettings = HIDE_IDS,
    device: str = "",
) -> ValuedFiles:
    """Values rows that are read from files; writes values.csv, values.html and more.

    `write_values` lists the files.

    Args:
        files: what is read, and where results go.
        settings: which valuers, and how.
        privacy: whether names and identifiers of patients may be in the results.
        device: for the page.

    Raises:
        ValueError, OSError, ImportError: as `value_features`; files that cannot be read or do not
            fit one another.
    """
    rows, skipped, headers = _rows(files, privacy)
    validation = _validation(files)
    workdir = pathlib.Path(files.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    if is_first():
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
    if headers is not None:
        source = headers.path(source)
    if not is_first():
        return ValuedFiles(found, workdir / "values.html", skipped)
    page = write_values(
        workdir, found, settings, names=rows.names, source=source, validation=against, device=device
    )
    return ValuedFiles(found, page, skipped)


def _rows(
    files: ValueFiles, privacy: PrivacySettings
) -> tuple[LabelledRows, tuple[SkippedImage, ...], JobHeaders | None]:
    """The rows to be valued, the images that could not be read, and the headers of images."""
    if files.features is not None:
        return _labelled(files, files.features, files.labels, files.groups), (), None
    found = embedded(
        files.images or "",
        files.encoder or "",
        privacy=privacy,
        outside=(files.workdir,),
        hashed=files.group_by in HEADER_GROUPS,
    )
    with found.headers.hiding():
        rows = _with_columns(
            files,
            found.features,
            found.names,
            files.labels,
            files.groups,
            stored_names=found.stored_names,
            column=found.column,
        )
    found.headers.keep_table()
    return dataclasses.replace(rows, pixels=found.images), found.skipped, found.headers


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
        files,
        np.concatenate(list(chunks)),
        None if names is None else tuple(names),
        labels,
        groups,
        column=lambda by: column_beside(path, chunks.rows, by),
    )


def _with_columns(
    files: ValueFiles,
    features: Float[np.ndarray, "n d"],
    names: tuple[str, ...] | None,
    labels: str | os.PathLike[str] | None,
    groups: str | os.PathLike[str] | None,
    *,
    stored_names: tuple[str, ...] | None = None,
    column: Callable[[str], Sequence[str] | None],
) -> LabelledRows:
    """Rows with labels and groups, from tables or, for groups, by `column`.

    Args:
        files: the settings.
        features: of the rows.
        names: of the rows, as they may be shown.
        labels, groups: tables.
        stored_names: of the images' files; None: `names`.
        column: "patient", "study" or "series" -> it, of each row; None: it is not known.
    """

    def read(path: str | os.PathLike[str] | None, flag: str) -> Shaped[np.ndarray, " n"] | None:
        if path is None:
            return None
        named = names_in_table(path, files.image_column, stored_names or names, names)
        header = getattr(files, flag)
        return read_column(path, len(features), header, named, files.image_column, column_flag=flag)

    own = read(groups, "group_column")
    if files.group_by is not None:
        own, notes = groups_of_images(files.group_by, names, column)
        for note in notes:
            print(f"groups: {note}", file=sys.stderr)
    return LabelledRows(features, read(labels, "label_column"), own, names)


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
