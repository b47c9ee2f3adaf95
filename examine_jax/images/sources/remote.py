"""Images at URLs: folders, lists, archives and volumes in s3, gs, az and https storage."""

import collections
import dataclasses
import io
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.file_part import (
    FilePart,
    Place,
    RemoteFile,
    open_here,
)
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import ImageSet
from examine_jax.images.names import shown
from examine_jax.images.remote_access import WEB, access_of, is_url, without_secrets
from examine_jax.images.sources.archive import ARCHIVE_SUFFIXES, scan_archive_at
from examine_jax.images.sources.files import load_files
from examine_jax.images.sources.files_reading import check_no_split
from examine_jax.images.sources.files_stream import stream_files
from examine_jax.images.sources.remote_list import add_urls, remote_file, remote_files
from examine_jax.images.sources.scan import (
    CONFIGURATIONS,
    IMAGE_SUFFIXES,
    LARGEST_CONFIGURATION,
    LIST_SUFFIXES,
    SLIDE_SUFFIXES,
    Scan,
    is_configuration,
    problem_of,
    sorted_scan,
    suffix_of,
)
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages

_MOST_LIST_BYTES = 2**28

# Of an archive, around its members' headers.
_BLOCK_BYTES = 2**17

# What is read from a disk alone.
DISK_SUFFIXES = (".npy", ".npz", *sorted(SLIDE_SUFFIXES))


@dataclasses.dataclass(frozen=True)
class RemoteSource:
    """A URL that fsspec opens."""

    on_demand: bool = True
    dicom: bool = True

    def recognises(self, name: str) -> bool:
        return is_url(name)

    def scan(self, name: str) -> Scan:
        return scan_url(name)

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        check_no_split(without_secrets(name), "folder", options.split)
        return load_files(scan_url, name, options)

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        check_no_split(without_secrets(name), "folder", options.split)
        return stream_files(scan_url, name, options)


def scan_url(url: str) -> Scan:
    """Finds the image files at a URL. Decodes nothing, and reads files in part alone.

    A folder (a prefix, a bucket) is read as one on a disk, a .txt or .csv file as a list, whose
    paths are URLs or relative to it, a .zip, .tar or .tar.gz file as an archive, in place. Names
    are paths below the URL.

    Raises:
        FileNotFoundError: nothing is there.
        PermissionError: there are no credentials, or none that may read it.
        OSError: its server cannot be reached.
        ValueError: it is a single image, or a list or an archive that is damaged.
        ImportError: a package is missing.
    """
    from examine_jax.images.decoding.remote_reading import (
        again,
        details_of,
        open_storage,
        plain_errors,
    )

    access = access_of(url)
    name = without_secrets(url)
    storage, path = open_storage(access.url)
    of_web = access.url.lower().startswith(WEB)
    with plain_errors(access.url):
        details = details_of(storage, path)
        if details.get("type") == "directory" or (of_web and path.endswith("/")):
            found = again(lambda: storage.find(path, detail=True))
            return _scan_folder(storage, path, found, access.cache)
    file = remote_file(access.url, details, access.cache)
    suffix = suffix_of(name.partition("?")[0])
    if suffix in LIST_SUFFIXES:
        return _scan_list(storage, file)
    if name.partition("?")[0].lower().endswith(ARCHIVE_SUFFIXES):
        if of_web and not details.get("partial") and access.cache is None:
            raise ValueError(
                f"{shown(name)}: its server gives no parts of files, which reading an archive in "
                "place needs; keep a copy by --cache"
            )
        return _scan_archive(storage, path, file)
    if suffix in (".nii", ".nii.gz"):
        return sorted_scan({name.partition("?")[0].rpartition("/")[2]: file}, {}, {})
    slash = "; that of a web server ends in a slash" if of_web else ""
    raise ValueError(
        f"{shown(name)} is one file; name the folder that holds the images{slash}: "
        f"{shown(name.rpartition('/')[0])}"
    )


def copy_on_disk(url: str) -> str:
    """The path of a copy of a file that is read from a disk alone, such as a slide.

    Raises:
        ValueError: there is no folder for copies.
        OSError: as `scan_url`.
    """
    from examine_jax.images.decoding.remote_reading import (
        details_of,
        downloaded,
        open_storage,
        plain_errors,
    )

    access = access_of(url)
    name = without_secrets(url)
    if access.cache is None:
        raise ValueError(
            f"{shown(name)}: slides and arrays are read from a disk; name a folder for copies by "
            "--cache"
        )
    storage, path = open_storage(access.url)
    with plain_errors(access.url):
        details = details_of(storage, path)
    return downloaded(remote_file(access.url, details, access.cache))


def _scan_folder(
    storage: Any, root: str, found: Mapping[str, Mapping[str, Any]], cache: str | None
) -> Scan:
    """As `scan_folder` finds the files below a folder on a disk."""
    files: dict[str, RemoteFile | str] = {}
    prefix = root.rstrip("/") + "/"
    for path, details in found.items():
        name = path[len(prefix) :] if path.startswith(prefix) else path.rpartition("/")[2]
        parts = name.split("/")
        if not name or details.get("type") == "directory" or name.endswith("/"):
            continue
        if any(part.startswith(".") or part == "__MACOSX" for part in parts if part):
            continue
        url = storage.unstrip_protocol(path)
        files[name] = url if details.get("size") is None else remote_file(url, details, cache)
    # A list of links says no sizes.
    asked = remote_files((one for one in files.values() if isinstance(one, str)), cache)
    known, problems = dict[str, RemoteFile](), dict[str, str]()
    for name, one in files.items():
        found_file = asked[one] if isinstance(one, str) else one
        if isinstance(found_file, str):
            problems[name] = found_file
        else:
            known[name] = found_file
    return _sorted_folder(known, problems)


def _sorted_folder(files: Mapping[str, RemoteFile], problems: dict[str, str]) -> Scan:
    results = _folders_of_results(files)
    dicom = _dicom_by_content(files)
    images: dict[str, Place] = {}
    other: collections.Counter[str] = collections.Counter()
    for name, file in files.items():
        suffix = suffix_of(name)
        folder = next((one for one in results if name.startswith(f"{one}/")), None)
        if folder is not None:
            problems[f"{folder}/"] = "a folder of results; its charts are no images to read"
        elif suffix in IMAGE_SUFFIXES or name in dicom:
            images[name] = file
        elif suffix in SLIDE_SUFFIXES:
            problems[name] = "a whole slide at a URL; name it itself, with --cache"
        elif problem := problem_of(suffix):
            problems[name] = problem
        else:
            other[suffix or "no suffix"] += 1
    return sorted_scan(images, problems, other)


def _folders_of_results(files: Mapping[str, RemoteFile]) -> list[str]:
    """The folders that hold this library's results."""
    asked = {
        name: dataclasses.replace(file, cache=None)
        for name, file in files.items()
        if "/" in name
        and name.rpartition("/")[2] in CONFIGURATIONS
        and file.size <= LARGEST_CONFIGURATION
    }
    return [
        name.rpartition("/")[0]
        for name, content in _contents(asked).items()
        if is_configuration(content)
    ]


def _dicom_by_content(files: Mapping[str, RemoteFile]) -> set[str]:
    """The files that are DICOM though their names do not say what they are."""
    asked = {
        name: dataclasses.replace(
            file, part=FilePart(file.url, file.name, 0, BEGINNING, BEGINNING, checksum=0)
        )
        for name, file in files.items()
        if file.size > BEGINNING
        and suffix_of(name) not in IMAGE_SUFFIXES | SLIDE_SUFFIXES
        and (not suffix_of(name) or problem_of(suffix_of(name)))
    }
    return {name for name, content in _contents(asked).items() if is_dicom(content)}


def _contents(files: Mapping[str, RemoteFile]) -> dict[str, bytes]:
    """The bytes of files that can be read, a few hundred at once."""
    from examine_jax.images.decoding.remote_reading import fetched

    names, found = list(files), dict[str, bytes]()
    for start in range(0, len(names), 256):
        block = names[start : start + 256]
        for name, content in zip(block, fetched([files[one] for one in block], 2**30)):
            if not isinstance(content, UnreadableImage):
                found[name] = content
    return found


def _scan_list(storage: Any, file: RemoteFile) -> Scan:
    """The files that a list at a URL names: URLs, or paths relative to it."""
    import tempfile

    from examine_jax.images.decoding.remote_reading import fetched
    from examine_jax.images.sources.file_list import listed_paths

    if file.size > _MOST_LIST_BYTES:
        raise ValueError(
            f"{shown(file.name)}: {file.size} bytes, more than the {_MOST_LIST_BYTES} that a list "
            "of images may have; split it"
        )
    (content,) = fetched([file], _MOST_LIST_BYTES)
    if isinstance(content, UnreadableImage):
        raise ValueError(f"{shown(file.name)}: {content}")
    base = file.url.partition("?")[0].rpartition("/")[0]
    with tempfile.NamedTemporaryFile(suffix=os.path.splitext(file.name)[1]) as copy:
        copy.write(content)
        copy.flush()
        try:
            texts = list(listed_paths(copy.name))
        except ValueError as error:
            raise ValueError(str(error).replace(copy.name, file.name)) from None
    if not texts:
        raise ValueError(f"{shown(file.name)}: the list is empty; give one image a line")
    urls = {text: text if is_url(text) else f"{base}/{text.lstrip('/')}" for text in texts}
    images, problems = dict[str, Place](), dict[str, str]()
    written = dict(zip(urls.values(), urls))
    add_urls(urls.values(), images, problems, written, file.cache)
    return sorted_scan(images, problems, {})


class _Opened(io.BufferedReader):
    """A stream of a storage, with what else an opened file has."""

    mode, name = "rb", ""


def _scan_archive(storage: Any, path: str, file: RemoteFile) -> Scan:
    """The members of an archive, read where it lies."""
    from examine_jax.images.decoding.remote_reading import downloaded, plain_errors

    def opened(_: str) -> BinaryIO:
        stream = storage.open(path, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
        return _Opened(stream)

    copy = downloaded(file) if file.cache is not None else None
    with plain_errors(file.url):
        found = scan_archive_at(
            file.name, file.whole, opened if copy is None else lambda _: open_here(copy)
        )
    return dataclasses.replace(
        found,
        candidates=tuple(
            dataclasses.replace(one, place=_member(file, one.place, copy))
            for one in found.candidates
        ),
    )


def _member(file: RemoteFile, place: Place, copy: str | None) -> Place:
    """A member as it is read at a URL, or in a copy; that of a .tar.gz file lies unpacked here."""
    if not isinstance(place, FilePart) or place.archive != file.name:
        return place
    if copy is not None:
        return dataclasses.replace(place, archive=copy)
    return dataclasses.replace(file, name=place.name, size=place.size, part=place, cache=None)
