"""The selection job: features in files, a table of the images to label out."""

import contextlib
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.atomic_files import check_not_read
from examine_jax.common.csv_lines import check_header, csv_header, csv_rows
from examine_jax.common.progress import progress_bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Bool, Int, Num, Shaped
from examine_jax.features.feature_chunks import FeatureChunks, open_features
from examine_jax.jobs.columns_beside import groups_beside
from examine_jax.labelled.header_groups import GroupBy
from examine_jax.labelled.row_names import names_beside, read_names
from examine_jax.labelled.tables import is_missing, read_column
from examine_jax.reporting.tables import write_table
from examine_jax.selection import STRATEGIES, Selection, parse_budget, select, strategy_of

TO_LABEL_HEADER = ("order", "image", "index", "group", "covers", "nearest_chosen")


@dataclasses.dataclass(frozen=True)
class SelectSettings:
    """What is chosen from, how many images and how, and the table to write."""

    features: str | os.PathLike[str] = setting(
        help="An .npy or .parquet file [N, D], or a folder of either.", metavar="PATH", main=True
    )
    budget: str = setting(
        help="How many images to label: a number, or a share of the usable images as 2%.",
        metavar="K",
        main=True,
    )
    output: str | os.PathLike[str] = setting(
        help="The table to write, CSV.", metavar="FILE", main=True
    )
    strategy: str = setting(
        "k_means_medoids", "How images are chosen.", known=STRATEGIES, metavar="NAME", main=True
    )
    usable: str | os.PathLike[str] | None = setting(
        None,
        "A .csv file with a column usable (0 or 1), such as scores.csv, or an .npy mask.",
        metavar="FILE",
        main=True,
    )
    labelled: str | os.PathLike[str] | None = setting(
        None,
        "A .csv file of images that are labelled already: the choice goes on where they stop.",
        metavar="FILE",
        main=True,
    )
    groups: str | os.PathLike[str] | None = setting(
        None, "A .csv or .npy file: each image's patient or slide.", metavar="FILE", main=True
    )
    group_by: GroupBy | None = setting(
        None,
        "In place of --groups: images of one patient, study or series by the columns that "
        "launch.embed writes, of one folder, or of one slide, volume or file.",
    )
    per_group: int | None = setting(
        None, "At most so many images of one group, labelled ones included.", minimum=1, main=True
    )
    seed: int = setting(0, "Of random choices.", minimum=0, main=True)
    names: str | os.PathLike[str] | None = setting(
        None,
        "A .csv or .txt file of image names. If not given: F.names.csv or names.csv (.txt) beside "
        "the features.",
        metavar="FILE",
    )
    image_column: str = setting("image", "The header of the names' column.", metavar="NAME")
    group_column: str = setting("group", "The header of the groups' column.", metavar="NAME")
    label_column: str = setting(
        "label",
        "If --labelled has a column of this header, rows without a label are ignored.",
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        output = pathlib.Path(self.output)
        if output.suffix != ".csv":
            raise ValueError(f"output {output} must end in .csv")
        if not output.parent.is_dir():
            raise ValueError(f"{output} cannot be written: there is no folder {output.parent}")
        check_not_read(
            [output], (self.features, self.usable, self.labelled, self.groups, self.names)
        )
        if self.groups is not None and self.group_by is not None:
            raise ValueError("--groups and --group_by both say the groups: leave one of them out")
        if self.per_group is not None and self.groups is None and self.group_by is None:
            raise ValueError(
                "--per_group limits the images of a group: give --groups=FILE or --group_by too"
            )
        parse_budget(self.budget)


def select_features(settings: SelectSettings, *, progress: bool = True) -> Selection:
    """Chooses the images to label from features in files, and writes the table.

    A single .npy file is not read into memory as a whole. After an error nothing is written.

    Args:
        settings: the input, the budget and the output.
        progress: show a progress bar on stderr.

    Returns:
        The selection.

    Raises:
        ValueError, OSError: files that cannot be read or do not fit one another; a budget that
            cannot be met. One line each.
    """
    strategy = strategy_of(settings.strategy)
    chunks = open_features(settings.features)
    names = _names(settings, chunks)
    groups = _groups(settings, chunks.rows, names, progress)
    usable = _usable(settings, chunks.rows, names)
    labelled = (
        None
        if settings.labelled is None
        else read_listed(
            settings.labelled,
            chunks.rows,
            names,
            image_column=settings.image_column,
            label_column=settings.label_column,
        )
    )
    with contextlib.ExitStack() as shown:
        bars: list[Callable[[int, int], None]] = []

        def report(done: int, total: int) -> None:
            if not bars:  # only now: an error before this is one line, without a bar
                bars.append(shown.enter_context(progress_bar("images chosen", progress)))
            bars[0](done, total)

        found = select(
            _matrix(chunks),
            settings.budget,
            usable=usable,
            groups=groups,
            per_group=settings.per_group,
            labelled=labelled,
            strategy=strategy,
            key=settings.seed,
            on_progress=report,
        )
        report(len(found.indices), len(found.indices))
    write_to_label(settings.output, found, names, groups)
    return found


def write_to_label(
    path: str | os.PathLike[str],
    selection: Selection,
    names: Sequence[str] | None,
    groups: Shaped[np.ndarray, " n"] | None = None,
) -> None:
    """Writes the images to label as CSV, whole or not at all.

    A row an image, in order: `order` from 1 on; image; index; group (empty if there are none);
    covers, the number of images that it represents; nearest_chosen, the index of the nearest image
    that was chosen earlier or is labelled, -1 if there is none.

    Args:
        path: the file.
        selection: of `select`.
        names: of all images; None: they are called "row 17".
        groups: of all images.

    Raises:
        OSError: the file cannot be written.
    """
    rows = [
        (
            order,
            f"row {image}" if names is None else names[image],
            image,
            "" if groups is None else groups[image],
            covers,
            nearest,
        )
        for order, (image, covers, nearest) in enumerate(
            zip(
                selection.indices.tolist(),
                selection.covers.tolist(),
                selection.nearest_chosen.tolist(),
            ),
            1,
        )
    ]
    write_table(path, TO_LABEL_HEADER, rows)


def read_listed(
    path: str | os.PathLike[str],
    rows: int,
    names: Sequence[str] | None,
    *,
    image_column: str = "image",
    label_column: str = "label",
) -> Int[np.ndarray, " listed"]:
    """The indices of the images that a CSV file lists, by its column `index` or by their names.

    An earlier table of images to label is such a file. If the file has a column of labels, rows
    without a label are ignored.

    Args:
        path: the file.
        rows: the number of images.
        names: of all images, or None.
        image_column: the header of the column that names images.
        label_column: the header of the column of labels.

    Raises:
        ValueError: an image is unknown or there twice; the file has neither column; index and image
            contradict each other.
        OSError: the file cannot be read.
    """
    header = csv_header(path)
    by_index = "index" in header
    if not by_index:
        check_header(path, header, {image_column: "image_column"})
        if names is None:
            raise ValueError(
                f"{os.fspath(path)} names images, the features have no names: give a file of "
                "names, or a column index instead"
            )
    place = {name: index for index, name in enumerate(names or ())}
    found: dict[int, int] = {}
    columns = {"index" if by_index else image_column: None}
    if label_column in header:
        columns[label_column] = None
    for line, cells in csv_rows(path, columns):
        if label_column in header and is_missing(cells[label_column]):
            continue
        where = f"{os.fspath(path)}, line {line}"
        if by_index:
            text = cells["index"].strip()
            index = int(text) if text.isdecimal() else -1
            if not 0 <= index < rows:
                raise ValueError(f"{where}: index {text!r} is none of 0 to {rows - 1}")
            name = cells.get(image_column)
            if names is not None and name is not None and name != names[index]:
                raise ValueError(
                    f"{where}: index {index} is {names[index]!r}, but the column "
                    f"{image_column!r} has {name!r}: correct the table, or remove one column"
                )
        else:
            index = place.get(cells[image_column], -1)
            if index < 0:
                raise ValueError(
                    f"{where}: there is no image {cells[image_column]!r}; name images as the "
                    f"features' names are ({', '.join(map(repr, (names or ())[:2]))}, ...)"
                )
        if index in found:
            raise ValueError(f"{where}: a second row for image {index}; keep one")
        found[index] = line
    return np.array(sorted(found), np.int64)


def _matrix(chunks: FeatureChunks) -> Num[np.ndarray, "n d"]:
    if len(chunks.shards) == 1 and chunks.shards[0].path.suffix == ".npy":
        return np.load(chunks.shards[0].path, mmap_mode="r", allow_pickle=False)
    return np.concatenate(list(chunks))


def _names(settings: SelectSettings, chunks: FeatureChunks) -> list[str] | None:
    file = settings.names
    if file is None:
        held = chunks.image_names(settings.image_column)
        if held is not None:
            return held
        file = names_beside(settings.features)
    return None if file is None else read_names(file, chunks.rows, settings.image_column)


def _groups(
    settings: SelectSettings, rows: int, names: Sequence[str] | None, progress: bool
) -> Shaped[np.ndarray, " n"] | None:
    if settings.group_by is not None:
        groups, notes = groups_beside(
            settings.group_by, settings.features, rows, names, settings.names
        )
        for note in notes if progress else ():
            print(f"groups: {note}", file=sys.stderr)
        return groups
    if settings.groups is None:
        return None
    found = read_column(
        settings.groups,
        rows,
        settings.group_column,
        names,
        settings.image_column,
        column_flag="group_column",
    )
    _refuse_missing(settings.groups, found, settings.group_column)
    return found


def _usable(
    settings: SelectSettings, rows: int, names: Sequence[str] | None
) -> Bool[np.ndarray, " n"] | None:
    if settings.usable is None:
        return None
    found = read_column(
        settings.usable, rows, "usable", names, settings.image_column, column_flag=None
    )
    _refuse_missing(settings.usable, found, "usable")
    texts = np.char.lower(found.astype(str))
    yes = np.isin(texts, ("1", "1.0", "true"))
    other = np.flatnonzero(~(yes | np.isin(texts, ("0", "0.0", "false"))))
    if len(other):
        raise ValueError(
            f"{os.fspath(settings.usable)}: usable is {str(found[other[0]])!r} for row {other[0]}; "
            "give 1 or 0"
        )
    return yes


def _refuse_missing(
    path: str | os.PathLike[str], found: Shaped[np.ndarray, " n"], column: str
) -> None:
    missing = np.flatnonzero(found.astype(str) == "")
    if len(missing):
        raise ValueError(
            f"{os.fspath(path)} has no {column} for {len(missing)} of {len(found)} rows, such as "
            f"row {missing[0]}: add them"
        )
