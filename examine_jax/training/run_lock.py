"""A lock that keeps a second process out of a run, whose checkpoints it would overwrite."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def run_lock(file: pathlib.Path) -> Iterator[None]:
    """Locks a run by its configuration file; the lock ends with the process.

    Raises:
        ValueError: another process, or another thread of this one, holds it.
    """
    try:
        import fcntl
    except ImportError:  # not a Unix: there is no lock
        yield
        return
    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another process is training in {file.parent}; wait for its end, or choose "
                "another workdir"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
