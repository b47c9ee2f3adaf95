"""Files written whole or not at all.

The content goes to a temporary file in the destination's folder, is flushed to the disk, and then
takes the destination's name in one step. So no reader sees half a file, even if the disk is full or
the process is killed. The previous file stays until the new one is complete.
"""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from examine_jax.common.shapes import Shaped


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a binary stream that becomes the file `path` if the block ends without an error.

    Args:
        path: the file to write or replace.

    Yields:
        The stream.

    Raises:
        OSError: the file cannot be written (full disk, missing or read-only folder, a folder of
            that name). The message is one line and names the file; the subclass and `errno` are
            those of the failure. A file at `path` is unchanged.
    """
    with _whole(pathlib.Path(path), os.replace) as stream:
        yield stream


def check_not_read(
    written: Iterable[str | os.PathLike[str]], read: Iterable[str | os.PathLike[str] | None]
) -> None:
    """Refuses to replace a file that is read, also under another name or through a link.

    Args:
        written: the files that will be written.
        read: files and folders that are read, or names of other sources. None: nothing.

    Raises:
        ValueError: a file is both.
    """
    inputs = {os.path.realpath(path) for path in read if path is not None}
    for path in written:
        if os.path.realpath(path) in inputs:
            raise ValueError(
                f"{os.fspath(path)} is read and would be overwritten: name another file"
            )


@contextlib.contextmanager
def creating(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """As `replacing`, but keeps a file that exists at `path` by then.

    If several processes write the same file, the first one to finish wins.
    """
    with _whole(pathlib.Path(path), _name_unless_taken) as stream:
        yield stream


@contextlib.contextmanager
def _whole(
    path: pathlib.Path, name: Callable[[pathlib.Path, pathlib.Path], None]
) -> Iterator[BinaryIO]:
    # Not derived from the destination's name, which may be as long as the file system allows.
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        # Not tempfile: its files are private to the user (mode 600), but results follow the umask.
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        name(temporary, path)
    except OSError as error:
        _remove(temporary)
        reason = error.strerror or str(error)
        # A name may hold line breaks, but the message is one line.
        shown = str(path) if str(path).isprintable() else repr(str(path))
        failure = type(error)(
            f"cannot write {shown}: {reason}; "
            "make room or name another folder (nothing is half-written)"
        )
        failure.errno = error.errno
        raise failure from error
    except BaseException:
        _remove(temporary)
        raise


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all. Raises as `replacing` does."""
    with replacing(path) as stream:
        stream.write(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` to `path` in UTF-8, whole or not at all. Raises as `replacing` does.

    Lone surrogates become `\\udcXX`.
    """
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_array(path: str | os.PathLike[str], array: Shaped[np.ndarray, "..."]) -> None:
    """Writes a numeric or Boolean array to `path` in numpy's .npy format, whole or not at all.

    Args:
        path: the file to write.
        array: the array. Nothing is pickled.

    Raises:
        ValueError: .npy does not keep the dtype (objects, bfloat16, strings).
        OSError: as `replacing`.
    """
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"cannot write {path}: dtype {array.dtype} does not survive in .npy; "
            "convert it, say to float32"
        )
    with replacing(path) as stream:
        # numpy writes real files by C's fwrite, which hides why it failed; other streams by blocks.
        np.lib.format.write_array(_WriteOnly(stream), array, allow_pickle=False)


class _WriteOnly:
    def __init__(self, stream: BinaryIO):
        self.write = stream.write


def _name_unless_taken(temporary: pathlib.Path, path: pathlib.Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            os.replace(temporary, path)
            return
    temporary.unlink()


def _remove(temporary: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink()
