"""One process a run: two that train in one folder would write over each other's checkpoints."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def run_lock(claimed: pathlib.Path) -> Iterator[None]:
    """Holds a run, by the file that says whose it is; the operating system lets go of it when the process ends, however it does.

    Raises:
        ValueError: another process, or another thread of this one, holds it.
    """
    try:
        import fcntl
    except ImportError:  # not a Unix: nobody is kept out
        yield
        return
    with claimed.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another process is training in {claimed.parent}; wait for its end, or choose another workdir"
            ) from error
        except OSError:  # a file system without locks: nobody is kept out
            pass
        yield
