"""The scoring job: features of any size in files, a table of scores out."""

import dataclasses
import importlib.util
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from examine_jax.common.atomic_files import check_not_read, replacing
from examine_jax.common.processes import check_same, is_first, wait_for_all
from examine_jax.common.progress import bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float
from examine_jax.features.feature_chunks import FeatureChunks, FeatureRows, open_features
from examine_jax.jobs.columns_beside import groups_beside
from examine_jax.jobs.scored_together import (
    examine_new_together,
    examine_together,
    summarise_together,
)
from examine_jax.labelled.header_groups import GroupBy
from examine_jax.labelled.row_names import names_beside, read_names
from examine_jax.labelled.tables import read_groups
from examine_jax.reporting.tables import SCORES_HEADER, rank_by_gap, write_table
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.groups import GroupExamination, examine_groups
from examine_jax.scoring.leave_one_out import examine
from examine_jax.scoring.spectrum import Newcomers
from examine_jax.scoring.summary import SpectralSummary

GROUPS_HEADER = ("group", "images", "score", "gap", "error_bound", "rank")
NEWCOMERS_HEADER = ("image", "index", "score", "gap", "singular_value_with", "rank")
_ROWS_WRITTEN = 65_536  # at once


@dataclasses.dataclass(frozen=True)
class ScoreSettings:
    """What is scored, how, and where the results go.

    With `groups`, whole groups are left out, the table has one row per group, and the features are
    held in memory.
    """

    features: str | os.PathLike[str] = setting(
        help="An .npy or .parquet file [N, D], or a folder of either.", metavar="PATH", main=True
    )
    output: str | os.PathLike[str] = setting(
        help="The table to write, CSV or Parquet by its ending.", metavar="FILE", main=True
    )
    center: bool = setting(False, "Subtract the features' mean before scoring.", main=True)
    against: str | os.PathLike[str] | None = setting(
        None,
        "A corpus' summary: score each row by what it would add to that corpus.",
        metavar="FILE",
        main=True,
    )
    save_summary: str | os.PathLike[str] | None = setting(
        None,
        "Write the corpus' summary here (.npz). With --against: of that corpus and the new rows.",
        metavar="FILE",
        main=True,
    )
    names: str | os.PathLike[str] | None = setting(
        None,
        "A .csv or .txt file of image names. If not given: F.names.csv or names.csv (.txt) beside "
        "the features.",
        metavar="FILE",
        main=True,
    )
    image_column: str = setting(
        "image", "The header of the names' column.", metavar="NAME", main=True
    )
    groups: str | os.PathLike[str] | None = setting(
        None,
        "A .csv file: the group (patient, slide) of each image or index.",
        metavar="FILE",
        main=True,
    )
    group_by: GroupBy | None = setting(
        None,
        "In place of --groups: images of one patient, study or series by the columns that "
        "launch.embed writes, of one folder, or of one slide, volume or file.",
    )
    group_column: str = setting(
        "group", "The header of the groups' column.", metavar="NAME", main=True
    )

    def __post_init__(self) -> None:
        output, features = pathlib.Path(self.output), pathlib.Path(self.features)
        if output.suffix not in (".csv", ".parquet"):
            raise ValueError(f"output {output} must end in .csv or .parquet")
        if output.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
            raise ValueError(
                f"{output} cannot be written without pyarrow: pip install 'examine-jax[score]', or "
                "end it in .csv"
            )
        if self.groups is not None and self.group_by is not None:
            raise ValueError("--groups and --group_by both say the groups: leave one of them out")
        grouped = self.groups is not None or self.group_by is not None
        if grouped and (self.against is not None or self.save_summary is not None):
            raise ValueError(
                "groups are left out of the features themselves: give neither a summary to compare "
                "with nor one to save"
            )
        written = [pathlib.Path(path) for path in (output, self.save_summary) if path is not None]
        check_not_read(written, (features, self.against, self.names, self.groups))
        for path in written:
            if not path.parent.is_dir():
                raise ValueError(f"{path} cannot be written: there is no folder {path.parent}")
            if features.is_dir() and _real(path.parent) == _real(features):
                raise ValueError(
                    f"{path} would lie among the features' own shards: name another folder"
                )
        if len({_real(path) for path in written}) < len(written):
            raise ValueError(f"the table and the summary cannot both be {output}")


def score_features(
    settings: ScoreSettings, *, progress: bool = True
) -> Examination | Newcomers | GroupExamination:
    """Scores features without holding them in memory, and writes the table.

    Several processes (`jax.distributed`) each read and score their share of the rows; the first one
    writes. Groups are scored by each process as a whole.

    Where there are no more rows than columns, they are held in memory and are less than D x D.

    After an error nothing is written.

    The table's columns are image, index, score, gap, error_bound, rank. Against a summary they are
    image, index, score, gap, singular_value_with, rank; for groups they are group, images (how
    many), score, gap, error_bound, rank. Rank 1 has the smallest gap; ties go by index. An image
    without a name is called "row 17".

    Args:
        settings: the input, how it is scored, and the output.
        progress: show progress bars on stderr.

    Returns:
        The table's results, as NumPy arrays.

    Raises:
        ValueError, OSError: files that cannot be read (which shard, which rows) or written; fewer
            than two rows; several processes see other files of features. One line each.
    """
    chunks = open_features(settings.features)
    files = [[shard.path.name, shard.rows, shard.width] for shard in chunks.shards]
    check_same("features", {"files": files})
    grouped = settings.groups is not None or settings.group_by is not None
    # Names may be many: the process that writes the table alone reads them.
    names = _names(settings, chunks) if is_first() or grouped else None
    if grouped:
        return _score_groups(settings, chunks, names, progress)
    if settings.against is None and chunks.rows <= chunks.width:
        # The N x N side: the rows take less memory than a D x D matrix, and O(N^2 D) time.
        found: Examination | Newcomers = jax.tree.map(
            np.asarray, examine(_read(chunks, progress), center=settings.center)
        )
        header, columns = SCORES_HEADER, [found.score, found.gap, found.error_bound]
        if settings.save_summary is not None:
            summary = summarise_together(chunks, _shown("summarise", progress))
    elif settings.against is None:
        summary = summarise_together(chunks, _shown("summarise", progress))
        found = examine_together(
            chunks, summary.spectrum(settings.center), _shown("score", progress)
        )
        header, columns = SCORES_HEADER, [found.score, found.gap, found.error_bound]
    else:
        corpus = SpectralSummary.load(settings.against)
        if corpus.mean.shape[0] != chunks.width:
            raise ValueError(
                f"{settings.against} summarises features with {corpus.mean.shape[0]} columns, "
                f"{settings.features} has {chunks.width}: "
                "use the encoder that made the corpus"
            )
        found = examine_new_together(
            chunks, corpus.spectrum(settings.center), _shown("score", progress)
        )
        header, columns = NEWCOMERS_HEADER, [found.score, found.gap, found.singular_value_with]
        if settings.save_summary is not None:
            summary = corpus.merge(summarise_together(chunks, _shown("summarise", progress)))
    if is_first():
        ranks = rank_by_gap(np.asarray(found.gap))
        _write(
            settings.output,
            header,
            [names or _Unnamed(len(ranks)), range(len(ranks)), *map(np.asarray, columns), ranks],
        )
        if settings.save_summary is not None:
            summary.save(settings.save_summary)
    wait_for_all("scores")
    return found


def _score_groups(
    settings: ScoreSettings, chunks: FeatureChunks, names: list[str] | None, progress: bool
) -> GroupExamination:
    if settings.group_by is not None:
        found_groups, notes = groups_beside(
            settings.group_by, settings.features, chunks.rows, names, settings.names
        )
        for note in notes if progress else ():
            print(f"groups: {note}", file=sys.stderr)
        named, values = np.unique(found_groups, return_inverse=True)
        values, classes = values.astype(np.int32), tuple(map(str, named))
    else:
        groups = read_groups(
            settings.groups or "", chunks.rows, names, settings.image_column, settings.group_column
        )
        values, classes = groups.values, groups.classes
    found = examine_groups(
        _read(chunks, progress),
        values,
        num_groups=len(classes),
        center=settings.center,
    )
    gap = np.asarray(found.gap)
    images = np.bincount(values, minlength=len(classes))
    columns = [np.asarray(found.score), gap, np.asarray(found.error_bound), rank_by_gap(gap)]
    if is_first():
        _write(settings.output, GROUPS_HEADER, [classes, images, *columns])
    wait_for_all("scores")
    return found


def _read(chunks: FeatureChunks, progress: bool) -> Float[np.ndarray, "rows width"]:
    features = np.empty((chunks.rows, chunks.width), chunks.dtype)
    start = 0
    for chunk in _WithProgress(chunks, "read", progress):
        features[start : start + len(chunk)] = chunk
        start += len(chunk)
    return features


def _write(
    path: str | os.PathLike[str],
    header: Sequence[str],
    table: Sequence[Sequence[object] | np.ndarray],
) -> None:
    if pathlib.Path(path).suffix == ".csv":
        write_table(path, header, _records(table))
    else:
        _write_parquet(path, header, table)


def _shown(label: str, progress: bool) -> Callable[[FeatureRows], "_WithProgress"]:
    return lambda rows: _WithProgress(rows, label, progress)


class _WithProgress:
    """Chunks that show a progress bar on stderr at each pass."""

    def __init__(self, chunks: FeatureChunks | FeatureRows, label: str, progress: bool):
        self._chunks, self._label, self._progress = chunks, label, progress

    def __iter__(self) -> Iterator[Float[np.ndarray, "chunk width"]]:
        total = self._chunks.rows
        with bar(
            total=total,
            desc=self._label,
            unit=" rows",
            unit_scale=True,
            disable=not self._progress,
        ) as shown:
            for chunk in self._chunks:
                yield chunk
                shown.update(len(chunk))


class _Unnamed(Sequence[str]):
    """The texts "row 0", "row 1", …, made when they are read."""

    def __init__(self, rows: int):
        self._rows = range(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            return [f"row {row}" for row in self._rows[index]]
        return f"row {self._rows[index]}"


def _names(settings: ScoreSettings, chunks: FeatureChunks) -> list[str] | None:
    file = settings.names
    if file is None:
        held = chunks.image_names(settings.image_column)
        if held is not None:
            return held
        file = names_beside(settings.features)
    return None if file is None else read_names(file, chunks.rows, settings.image_column)


def _records(table: Sequence[Sequence[object] | np.ndarray]) -> Iterator[tuple[object, ...]]:
    """The table's rows; floats have the fewest digits that identify them."""

    def as_text(column: np.ndarray) -> list[object]:
        return (column.astype("U32") if column.dtype.kind == "f" else column).tolist()

    for start in range(0, len(table[0]), _ROWS_WRITTEN):
        part = [column[start : start + _ROWS_WRITTEN] for column in table]
        yield from zip(*(as_text(x) if isinstance(x, np.ndarray) else x for x in part), strict=True)


def _write_parquet(
    path: str | os.PathLike[str],
    header: Sequence[str],
    table: Sequence[Sequence[object] | np.ndarray],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [column if isinstance(column, np.ndarray) else pa.array(column) for column in table]
    with replacing(path) as stream:
        pq.write_table(pa.table(columns, names=list(header)), stream)


def _real(path: str | os.PathLike[str]) -> str:
    return os.path.realpath(path)
