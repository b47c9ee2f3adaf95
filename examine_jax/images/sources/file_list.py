"""A text or CSV file that lists the paths of image files."""

import dataclasses
import os
import stat
from collections.abc import Iterator

from examine_jax.common.csv_lines import csv_lines
from examine_jax.images.decoding.file_part import Place
from examine_jax.images.image_set import ImageSet
from examine_jax.images.names import encodable, shown
from examine_jax.images.remote_access import access_of, is_url
from examine_jax.images.sources.files import load_files
from examine_jax.images.sources.files_reading import check_no_split
from examine_jax.images.sources.files_stream import stream_files
from examine_jax.images.sources.scan import (
    LIST_SUFFIXES,
    Scan,
    is_slide,
    not_read,
    sorted_scan,
    suffix_of,
)
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages

# Headers of the column with the paths, in lower case.
_COLUMNS = ("image", "path", "filename")

_MOST_BYTES = 2**28
_MOST_FILES = 10_000_000
_LONGEST_PATH = 4096  # bytes, as systems have it


@dataclasses.dataclass(frozen=True)
class ListSource:
    """A .txt or .csv file of paths."""

    on_demand: bool = True
    dicom: bool = True

    def recognises(self, name: str) -> bool:
        return name.lower().endswith(LIST_SUFFIXES) and os.path.isfile(name)

    def scan(self, name: str) -> Scan:
        return scan_list(name)

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        check_no_split(name, "list", options.split)
        return load_files(scan_list, name, options)

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        check_no_split(name, "list", options.split)
        return stream_files(scan_list, name, options)


def scan_list(path: str | os.PathLike[str]) -> Scan:
    """Finds the image files that a list names. Decodes nothing.

    A .txt file has one path a line; spaces around it and empty lines are ignored. A .csv file in
    UTF-8 has the paths in the one column whose header is `image`, `path` or `filename`. Paths are
    relative to the list's folder, or absolute. Windows' separators are understood. URLs are read
    as sources/remote.py has it.

    An image's name is its path as it is listed, relative where it lies below the list's folder. A
    file that is listed more than once is read once, and a note says so. Every other file that is
    listed is decoded, whatever its name, unless the name is that of another format.

    Args:
        path: the list.

    Returns:
        The files in order of their names. Those that are not there, and folders, are in `skipped`.

    Raises:
        ValueError: an empty list, one above 256 MiB or 10 million lines, no such column, or text
            that is no CSV in UTF-8.
        OSError: the list cannot be read.
    """
    folder = os.path.dirname(os.path.abspath(path))
    status = os.stat(path)
    if status.st_size > _MOST_BYTES:
        raise ValueError(
            f"{shown(path)}: {status.st_size} bytes, more than the {_MOST_BYTES} that a list of "
            "images may have; split it"
        )
    places: dict[str, Place] = {}
    slides: dict[str, Place] = {}
    problems: dict[str, str] = {}
    seen: set[str] = set()
    real_folders: dict[str, str] = {}
    urls: dict[str, None] = {}
    repeated = listed = 0
    for text in listed_paths(path):
        listed += 1
        if is_url(text):
            repeated += text in urls
            urls[text] = None
            continue
        if listed > _MOST_FILES:
            raise ValueError(
                f"{shown(path)}: more than the {_MOST_FILES} images that a list may have; split it"
            )
        if len(os.fsencode(text)) > _LONGEST_PATH or "\0" in text:
            problems[encodable(text[:_LONGEST_PATH]).replace("\0", "\\x00")] = "no path of a file"
            continue
        file = os.path.join(folder, text)
        if "\\" in text and not os.path.lexists(file):
            text = text.replace("\\", "/")
            file = os.path.join(folder, text)
        # A folder that is reached in two ways is one; a link to a file is a file of its own.
        parent, base = os.path.split(file)
        if parent not in real_folders:
            real_folders[parent] = os.path.realpath(parent)
        identity = os.path.join(real_folders[parent], base)
        if identity in seen:
            repeated += 1
            continue
        seen.add(identity)
        name = _name(text, folder)
        problem = _problem(file)
        if problem is not None:
            problems[name] = problem
        elif is_slide(file):
            slides[name] = file
        else:
            places[name] = file
    if urls:
        from examine_jax.images.sources.remote_list import add_urls

        add_urls(urls, places, problems, cache=access_of(os.fspath(path)).cache)
    if not listed:
        raise ValueError(f"{shown(path)}: the list is empty; give the path of one image a line")
    notes: tuple[str, ...] = ()
    if repeated:
        notes = (f"{repeated} lines of the list repeat a file, which is read once",)
    return sorted_scan(places, problems, {}, notes, slides=slides)


def listed_paths(path: str | os.PathLike[str]) -> Iterator[str]:
    """The paths of a list as they are written."""
    if os.fspath(path).lower().endswith(".csv"):
        yield from _column(path)
        return
    with open(path, "rb") as stream:
        beginning = stream.read(3)
        if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ValueError(f"{shown(path)}: text in UTF-16; save it as UTF-8")
        stream.seek(3 if beginning == b"\xef\xbb\xbf" else 0)
        for line in stream:
            if text := os.fsdecode(line).strip():
                yield text


def _column(path: str | os.PathLike[str]) -> Iterator[str]:
    lines = csv_lines(path)
    header = [cell.strip().lower() for cell in next(lines, (0, []))[1]]
    found = [index for index, cell in enumerate(header) if cell in _COLUMNS]
    if len(found) != 1:
        raise ValueError(
            f"{shown(path)} is no list of images: it has {len(found)} columns named "
            f"{', '.join(_COLUMNS[:-1])} or {_COLUMNS[-1]}, and needs one; its columns are "
            f"{shown(', '.join(header)) or 'none'}"
        )
    for line, cells in lines:
        if len(cells) <= found[0]:
            raise ValueError(
                f"{shown(path)}, line {line} is cut short: it has fewer columns than the header"
            )
        if text := cells[found[0]].strip():
            yield text


def _name(text: str, folder: str) -> str:
    """The name of a listed file: relative to the list's folder where it lies below it."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not text.startswith("/"):
        return "/".join(parts) or text
    above = [part for part in folder.split("/") if part]
    if ".." not in parts and len(parts) > len(above) and parts[: len(above)] == above:
        return "/".join(parts[len(above) :])
    return text


def _problem(file: str) -> str | None:
    try:
        status = os.stat(file)
    except OSError as error:
        if os.path.lexists(file):
            return error.strerror or str(error)
        return "no such file; paths in a list are relative to the list's folder"
    if stat.S_ISDIR(status.st_mode):
        return "a folder; list its files, or name the folder in place of the list"
    return not_read(suffix_of(file))
