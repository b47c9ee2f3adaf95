"""What all published layouts share: entries by image, and readers of the sets' tables."""

import dataclasses
import pathlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

from examine_jax.common.csv_lines import check_header, csv_lines


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the files of a set say about one image.

    Attributes:
        label: its class, or 0 and 1 for each class where images have several.
        group: patient or lesion; None: unknown.
        tested: whether the official split tests on it; None: there is no split.
    """

    label: int | tuple[int, ...]
    group: str | None = None
    tested: bool | None = None


@dataclasses.dataclass(frozen=True)
class LayoutFiles:
    """What a layout finds in a folder.

    Attributes:
        entries: by the image's file name without its ending.
        classes: names of the classes.
        folders: those that hold the images.
    """

    entries: Mapping[str, Entry]
    classes: tuple[str, ...]
    folders: Sequence[pathlib.Path]


# A layout reads a set's files, without its images, and refuses files that contradict one another.
Layout = Callable[[pathlib.Path], LayoutFiles]

# From a file's name to its class and its group (None: unknown); None if the file is not part of the
# set.
FileNameLayout = Callable[[str], tuple[str, str | None] | None]


def needed(path: pathlib.Path) -> pathlib.Path:
    """The path. Raises: FileNotFoundError, where nothing is there."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing; unpack the set's files below {path.parent}, under their own names"
        )
    return path


def add_entry(
    entries: dict[str, Entry], path: pathlib.Path, line: int, name: str, entry: Entry
) -> None:
    """Adds an image's entry. Raises: ValueError, where the image has one already."""
    if name in entries:
        raise ValueError(f"{path}, line {line}: a second row for {name!r}; keep one")
    entries[name] = entry


def check_once(lines: dict[str, int], path: pathlib.Path, line: int, name: str) -> None:
    """Notes the line that names an image. Raises: ValueError, where another line names it too."""
    if name in lines:
        raise ValueError(
            f"{path}, line {line}: a second row for {name!r}, which is in line {lines[name]}; keep "
            "one"
        )
    lines[name] = line


def check_named(
    path: pathlib.Path, lines: Mapping[str, int], known: Container[str], table: pathlib.Path
) -> None:
    """Raises: ValueError, where a file names an image that the table of labels lacks."""
    strangers = [name for name in lines if name not in known]
    if strangers:
        raise ValueError(
            f"{path}, line {lines[strangers[0]]}: {len(strangers)} images have no row in "
            f"{table.name}: {listed(strangers)}; "
            "add those rows, or remove these"
        )


def check_entries(entries: dict[str, Entry], path: pathlib.Path) -> dict[str, Entry]:
    """The entries. Raises: ValueError, where there are none."""
    if not entries:
        raise ValueError(f"{path} names no image")
    return entries


def table_rows(path: pathlib.Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of a CSV file with a header.

    Cells that a short line lacks are empty, unless they are asked for.
    """
    lines = table_lines(path)
    header = next(lines, (0, []))[1]
    check_header(path, header, dict.fromkeys(columns))
    for line, cells in lines:
        if any(column in header[len(cells) :] for column in columns):
            raise ValueError(
                f"{path}, line {line} is cut short: it has fewer columns than the header"
            )
        yield (
            line,
            {name: cell for name, cell in zip(header, [*cells, *[""] * len(header)]) if name},
        )


def table_lines(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """(line, stripped cells) of a set's own table; lines without text are left out."""
    for line, cells in csv_lines(path, strict=False):
        if any(cells):
            yield line, [cell.strip() for cell in cells]


def listed(names: Iterable[str]) -> str:
    """The first five names, for a message, and how many more there are."""
    shown = sorted(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
