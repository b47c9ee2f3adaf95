"""A lock on a run: a second process in the same workdir would overwrite its checkpoints."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def run_lock(file: pathlib.Path) -> Iterator[None]:
    """Locks a run by its configuration file; the lock ends with the process.

    Raises:
        ValueError: another process, or another thread of this one, holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # no Unix system: runs are not locked
        yield
        return
    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another process is training in {file.parent}; wait until it has ended, or "
                "choose another workdir"
            ) from error
        except OSError:  # the file system has no locks
            pass
        yield
