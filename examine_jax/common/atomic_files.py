"""Files written whole or not at all.

The content goes to a temporary file in the destination's own folder, is flushed to the disk and then takes the destination's
name in one step, so that a reader, a full disk or a killed run never meets half a file. What stood there before stays until then.
"""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from examine_jax.common.shapes import Shaped


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a binary stream whose content becomes the file `path` when the block ends without an error.

    Raises:
      OSError: the file cannot be written (full disk, missing or read-only folder, a folder of that name); one line that
        names the file. The subclass and `errno` are those of the failure itself. Whatever was at `path` is untouched.
    """
    with _whole(pathlib.Path(path), os.replace) as stream:
        yield stream


@contextlib.contextmanager
def creating(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """As `replacing`, but a file that stands at `path` by then stays: of several processes that write it, the first one's is kept."""
    with _whole(pathlib.Path(path), _name_unless_taken) as stream:
        yield stream


@contextlib.contextmanager
def _whole(path: pathlib.Path, name: Callable[[pathlib.Path, pathlib.Path], None]) -> Iterator[BinaryIO]:
    # A name of its own, not one derived from the destination's, which may already be as long as the file system allows.
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        # Not tempfile: its files are private to the user (mode 600), and results are to be shared as the umask says.
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        name(temporary, path)
    except OSError as error:
        _remove(temporary)
        reason = error.strerror or str(error)
        shown = str(path) if str(path).isprintable() else repr(str(path))  # One line, whatever the name.
        failure = type(error)(
            f"cannot write {shown}: {reason}; make room or name another folder (nothing is half-written)"
        )
        failure.errno = error.errno
        raise failure from error
    except BaseException:
        _remove(temporary)
        raise


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all. Raises: as `replacing`."""
    with replacing(path) as stream:
        stream.write(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` to `path` in UTF-8, whole or not at all; lone surrogates become `\\udcXX`. Raises: as `replacing`."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_array(path: str | os.PathLike[str], array: Shaped[np.ndarray, "..."]) -> None:
    """Writes a numeric or Boolean array to `path` in numpy's .npy format, whole or not at all; nothing is pickled.

    Raises:
      ValueError: the dtype is one that .npy does not keep (objects, bfloat16, strings).
      OSError: as `replacing`.
    """
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"cannot write {path}: dtype {array.dtype} does not survive in .npy; convert it, say to float32"
        )
    with replacing(path) as stream:
        # numpy hands a real file to C's fwrite, which loses the reason of a failure; anything else it gives blocks of bytes.
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
