"""Places whose bytes are at URLs, as places that a worker process can open.

The bytes of a few files at a time are held in memory, in a file without a name.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import IO, Any

from examine_jax.images.decoding.file_part import (
    FilePart,
    Place,
    RemoteFile,
    StackedFiles,
)
from examine_jax.images.decoding.unreadable import UnreadableImage

# An item of work: a place, or a place and a frame.
Item = Any


@contextlib.contextmanager
def local_copies(items: Sequence[Item], max_bytes: int) -> Iterator[list[Item | UnreadableImage]]:
    """The items with places that can be opened here, or why they cannot be, as long as the block.

    Nothing is done where no place is at a URL.
    """
    wanted = list(dict.fromkeys(one for item in items for one in _remote(_place(item))))
    if not wanted:
        yield list(items)
        return
    with contextlib.ExitStack() as opened:
        copies = _copies(wanted, max_bytes, opened)
        yield [_with_copies(item, copies) for item in items]


def _place(item: Item) -> Place:
    place: Place = item[0] if isinstance(item, tuple) else item
    return place


def _remote(place: Place) -> list[RemoteFile]:
    files = place.files if isinstance(place, StackedFiles) else (place,)
    return [file for file in files if isinstance(file, RemoteFile)]


def _with_copies(
    item: Item, copies: dict[RemoteFile, FilePart | UnreadableImage]
) -> Item | UnreadableImage:
    place = _place(item)
    for one in _remote(place):
        if isinstance(copy := copies[one], UnreadableImage):
            return copy
    found: Any = place
    if isinstance(place, RemoteFile):
        found = copies[place]
    elif isinstance(place, StackedFiles):
        files = [copies[one] if isinstance(one, RemoteFile) else one for one in place.files]
        found = dataclasses.replace(place, files=tuple(files))  # type: ignore[arg-type]
    return (found, *item[1:]) if isinstance(item, tuple) else found


def _copies(
    files: Sequence[RemoteFile], max_bytes: int, opened: contextlib.ExitStack
) -> dict[RemoteFile, FilePart | UnreadableImage]:
    from examine_jax.images.decoding.remote_reading import cached_path, copy_in_cache, fetched

    found: dict[RemoteFile, FilePart | UnreadableImage] = {}
    missing: list[RemoteFile] = []
    for file in files:
        if file.cache is not None and os.path.isfile(path := cached_path(file)):
            found[file] = _part(file, path, 0, os.path.getsize(path))
        else:
            missing.append(file)
    if not missing:
        return found
    stream, path = _nameless_file(opened)
    for file, content in zip(missing, fetched(missing, max_bytes)):
        if isinstance(content, UnreadableImage):
            found[file] = content
        elif file.cache is not None:
            found[file] = _part(file, copy_in_cache(file, content), 0, len(content))
        else:
            found[file] = _part(file, path, stream.tell(), len(content))
            stream.write(content)
    stream.flush()
    return found


def _part(file: RemoteFile, path: str, offset: int, length: int) -> FilePart:
    if file.part is not None:
        return dataclasses.replace(file.part, archive=path, offset=offset)
    return FilePart(path, file.name, offset, length, file.size)


def _nameless_file(opened: contextlib.ExitStack) -> tuple[IO[bytes], str]:
    """A file in memory where the system has such, and a path by which other processes open it."""
    if hasattr(os, "memfd_create"):
        stream: IO[bytes] = opened.enter_context(os.fdopen(os.memfd_create("images"), "wb"))
        path = f"/proc/{os.getpid()}/fd/{stream.fileno()}"
        if os.path.exists(path):
            return stream, path
    import tempfile

    named = opened.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115 - it is entered
    return named, named.name
