r"""The tables of a run, as CSV in UTF-8 (RFC 4180 quoting, a line feed after each row).

Names are written unchanged, because other tables are joined on them: special characters are quoted.
This has two consequences:

- A spreadsheet may read a name that begins with = + - or @ as a formula. A prefix would prevent
  this but break the joins. `formula_like` finds these names, so that the user can be warned to
  import the column as text.
- A file name that is not valid UTF-8 reaches Python with lone surrogates. UTF-8 cannot represent
  them, so each is written as its escape, `\udcXX`.

Floats have the fewest digits that read back as the same number in their own precision.
"""

import csv
import io
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from examine_jax.common.atomic_files import replacing
from examine_jax.common.shapes import Bool, Float, Int

SCORES_HEADER = ("image", "index", "score", "gap", "error_bound", "rank")
MODALITY_HEADER = ("modality", "rank_in_modality")
USABILITY_HEADER = ("usable", "outlier", "findings")
NOISE_LEVELS_HEADER = ("image", "index", "level", "score", "gap", "rank")
SKIPPED_HEADER = ("image", "reason")


@runtime_checkable
class Usability(Protocol):
    """What was found in each of N images, such as `quality.Findings`."""

    @property
    def usable(self) -> Bool[np.ndarray, " n"]: ...

    @property
    def outlier(self) -> Float[np.ndarray, " n"]: ...

    @property
    def findings(self) -> Sequence[Sequence[str]]: ...


@runtime_checkable
class Skipped(Protocol):
    """A file that could not be read, and why."""

    @property
    def name(self) -> str: ...

    @property
    def reason(self) -> str: ...


def rank_by_gap(gap: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Ranks images by gap: 1 is the smallest gap, N the largest; ties are ordered by index.

    Raises:
        ValueError: a gap is NaN; the message names the rows.
    """
    if np.isnan(gap).any():
        raise ValueError(
            f"the gap is not a number in rows {_some(np.flatnonzero(np.isnan(gap)))}: these cannot "
            "be ranked"
        )
    rank = np.empty(len(gap), dtype=np.int64)
    rank[np.argsort(gap, kind="stable")] = np.arange(1, len(gap) + 1)
    return rank


def write_scores(
    path: str | os.PathLike[str],
    names: Sequence[str],
    score: Float[np.ndarray, " n"],
    gap: Float[np.ndarray, " n"],
    error_bound: Float[np.ndarray, " n"],
    rank: Int[np.ndarray, " n"],
    usability: Usability | None = None,
    modalities: Sequence[str] = (),
    rank_in_modality: Int[np.ndarray, " n"] | None = None,
) -> None:
    """Writes scores.csv: a row an image, in the order of the features; `index` starts at 0.

    `modality` and `rank_in_modality` are empty where no modality is known.

    `usable` is 1 or 0, `outlier` higher for stranger images, and `findings` are names with a ;
    between them. All three are empty without `usability`.

    Raises:
        ValueError: there is not one name a row, `usability` is of other images, or `rank` is not a
            permutation of 1 to N.
        OSError: as `atomic_files.replacing`.
    """
    _check_names(names, len(rank))
    _check_ranks(rank)
    columns = (
        names,
        range(len(rank)),
        _digits(score),
        _digits(gap),
        _digits(error_bound),
        rank.tolist(),
        *_modality_columns(modalities, rank_in_modality, len(rank)),
        *_usability_columns(usability, len(rank)),
    )
    header = (*SCORES_HEADER, *MODALITY_HEADER, *USABILITY_HEADER)
    write_table(path, header, zip(*columns, strict=True))


def _modality_columns(
    modalities: Sequence[str], ranks: Int[np.ndarray, " n"] | None, num_rows: int
) -> Sequence[Sequence[object]]:
    if ranks is None or not modalities:
        return (("",) * num_rows,) * 2
    shown = [rank if kind else "" for kind, rank in zip(modalities, ranks.tolist(), strict=True)]
    return modalities, shown


def _usability_columns(usability: Usability | None, num_rows: int) -> Sequence[Sequence[object]]:
    if usability is None:
        return (("",) * num_rows,) * 3
    if not len(usability.usable) == len(usability.findings) == num_rows:
        raise ValueError(f"there are findings for {len(usability.usable)} of {num_rows} images")
    return (
        usability.usable.astype(int).tolist(),
        _digits(usability.outlier),
        [";".join(names) for names in usability.findings],
    )


def write_noise_levels(
    path: str | os.PathLike[str],
    names: Sequence[str],
    level: Float[np.ndarray, " n"],
    score: Float[np.ndarray, " n"],
    gap: Float[np.ndarray, " n"],
    rank: Int[np.ndarray, " n"],
) -> None:
    """Writes noise_levels.csv: the scores and the level of the noise added to each image.

    Raises:
        ValueError, OSError: as `write_scores`.
    """
    _check_names(names, len(rank))
    _check_ranks(rank)
    columns = (names, range(len(rank)), _digits(level), _digits(score), _digits(gap), rank.tolist())
    write_table(path, NOISE_LEVELS_HEADER, zip(*columns, strict=True))


def write_skipped(path: str | os.PathLike[str], skipped: Sequence[Skipped]) -> None:
    """Writes skipped.csv: the files that could not be read, and why.

    If there are none, the file of an earlier run is removed.

    Raises:
        OSError: as `atomic_files.replacing`; the earlier file cannot be removed.
    """
    if not skipped:
        pathlib.Path(path).unlink(missing_ok=True)
        return
    write_table(path, SKIPPED_HEADER, ((file.name, file.reason) for file in skipped))


def write_table(
    path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Writes a table as CSV, whole or not at all.

    Raises:
        ValueError: a row is not as long as the header.
        OSError: as `atomic_files.replacing`.
    """
    with replacing(path) as binary:
        stream = io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="")
        plain = csv.writer(stream, lineterminator="\n")
        # Before Python 3.13, csv does not quote a carriage return outside the line terminator.
        quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(header)
        for row in rows:
            if len(row) != len(header):
                raise ValueError(
                    f"{path}: a row has {len(row)} fields where the header has {len(header)}: "
                    f"{row!r:.200}"
                )
            writer = (
                quoting if any(isinstance(field, str) and "\r" in field for field in row) else plain
            )
            writer.writerow(row)
        stream.flush()
        stream.detach()  # `replacing` closes the binary stream


def formula_like(names: Iterable[str]) -> tuple[str, ...]:
    """The names that a spreadsheet may read as formulas."""
    return tuple(name for name in names if name.startswith(("=", "+", "-", "@", "\t", "\r")))


def _digits(values: Float[np.ndarray, " n"]) -> list[str]:
    """The fewest digits that read back as the same number; half precision is written as float32."""
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32)
    return values.astype("U32").tolist()


def _check_names(names: Sequence[str], num_rows: int) -> None:
    if len(names) != num_rows:
        raise ValueError(
            f"there are {len(names)} names for {num_rows} rows; every row needs one name"
        )


def _check_ranks(rank: Int[np.ndarray, " n"]) -> None:
    if not np.array_equal(np.sort(rank), np.arange(1, len(rank) + 1)):
        raise ValueError(
            f"the ranks are no permutation of 1 to {len(rank)}; make them with rank_by_gap"
        )


def _some(rows: Int[np.ndarray, " n"], at_most: int = 8) -> str:
    listed = ", ".join(map(str, rows[:at_most]))
    return listed if len(rows) <= at_most else f"{listed} and {len(rows) - at_most} more"
