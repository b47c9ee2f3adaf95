"""Folders written whole or not at all.

The content goes to a hidden folder beside the destination, is flushed to the disk, and then takes
the destination's name. A process that is killed leaves the hidden folder; the next one that writes
the same destination removes it.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def writing_folder(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Makes a folder that takes the name `folder` if the block ends without an error.

    A folder of that name is replaced: it has another name until the new one is in place. A link to
    a folder stays, and the folder that it leads to is replaced.

    Hidden folders that killed processes left of the same destination are removed at the end, when
    nothing can be lost by it. A lock tells them from those of processes that live; where the file
    system has no locks, they stay.

    Args:
        folder: the destination. Its parents are made.

    Yields:
        The hidden folder, to be filled.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = pathlib.Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, lock = _locked_folder(folder)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
        temporary.chmod(0o755)
        _put(temporary, folder)
        with contextlib.suppress(OSError):  # the folder is written, whatever cannot be removed
            _remove_left(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _prefix(folder: pathlib.Path) -> str:
    """What the hidden folders of a destination, and of no other, begin with."""
    # The name itself may be as long as the file system allows, or begin another's.
    return f".{hashlib.blake2b(os.fsencode(folder.name), digest_size=8).hexdigest()}-"


def _locked_folder(folder: pathlib.Path) -> tuple[pathlib.Path, int | None]:
    """(a new hidden folder, the descriptor that holds its lock; None: there are no locks)."""
    while True:
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
        try:
            lock = _lock(temporary)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process takes it for one that was left
        if temporary.is_dir():
            return temporary, lock
        if lock is not None:
            os.close(lock)


def _lock(folder: pathlib.Path) -> int | None:
    """The descriptor that holds a folder's lock, which ends with the process; None: no locks here.

    Raises:
        BlockingIOError: another descriptor holds it.
        FileNotFoundError: there is no such folder.
    """
    try:
        import fcntl
    except ImportError:  # no Unix system
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None  # the file system has no locks
    return descriptor


def _put(temporary: pathlib.Path, folder: pathlib.Path) -> None:
    before = folder.with_name(f"{_prefix(folder)}{uuid.uuid4().hex}")
    replaces = folder.exists()
    if replaces:
        folder.rename(before)
    try:
        temporary.rename(folder)
    except OSError:
        if replaces:
            before.rename(folder)
        raise
    if replaces:
        shutil.rmtree(before, ignore_errors=True)


def _remove_left(folder: pathlib.Path) -> None:
    """Removes the hidden folders that killed processes left of a destination."""
    for left in folder.parent.iterdir():
        if not left.name.startswith(_prefix(folder)):
            continue
        with contextlib.suppress(OSError):
            lock = _lock(left)
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
