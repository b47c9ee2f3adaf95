"""Columns about images that lie beside their features, as `embed_images` writes them."""

import os
from collections.abc import Sequence

import numpy as np

from examine_jax.common.csv_lines import csv_header
from examine_jax.common.shapes import Shaped
from examine_jax.features.feature_chunks import open_features
from examine_jax.labelled.header_groups import GroupBy, groups_of_images
from examine_jax.labelled.row_names import names_beside, read_names


def column_beside(
    features: str | os.PathLike[str],
    rows: int,
    column: str,
    names: str | os.PathLike[str] | None = None,
) -> list[str] | None:
    """A column of the table of names beside features, or of their Parquet files; None: none has it.

    Args:
        features: a file, or a folder of shards.
        rows: of the features.
        column: its header, such as "image", "patient" or "modality".
        names: a table that is asked first; None: the one beside the features, if there is one, is
            asked last.

    Raises:
        ValueError: another number of rows, or as `names_beside` and `read_names`.
        OSError: a file cannot be read.
    """
    if names is not None:
        found = _column_of(names, rows, column)
        if found is not None:
            return found
    bare = os.fspath(features).lower().endswith(".npy")  # It holds no columns.
    held = None if bare else open_features(features).image_names(column)
    if held is not None or names is not None:
        return held
    beside = names_beside(features)
    return None if beside is None else _column_of(beside, rows, column)


def _column_of(table: str | os.PathLike[str], rows: int, column: str) -> list[str] | None:
    if os.fspath(table).lower().endswith(".csv"):
        return read_names(table, rows, column) if column in csv_header(table) else None
    return read_names(table, rows) if column == "image" else None


def groups_beside(
    by: GroupBy,
    features: str | os.PathLike[str],
    rows: int,
    image_names: Sequence[str] | None,
    names: str | os.PathLike[str] | None = None,
) -> tuple[Shaped[np.ndarray, " images"], tuple[str, ...]]:
    """The group of each row of features, and notes for the user.

    Args:
        by: what images of one group share.
        features, rows, names: as in `column_beside`.
        image_names: of the rows; None: they have none.

    Raises:
        ValueError: as `groups_of_images` and `column_beside`.
        OSError: a file cannot be read.
    """
    return groups_of_images(
        by, image_names, lambda column: column_beside(features, rows, column, names)
    )
