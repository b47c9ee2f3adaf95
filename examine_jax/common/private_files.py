"""Files that their owner alone may read, written whole or not at all."""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator

_OWNER_ALONE = 0o600


def create_private(path: pathlib.Path, content: bytes) -> bool:
    """Writes a new file of mode 600. A file that exists by then stays as it is.

    Returns:
        Whether this call wrote it.

    Raises:
        OSError: it cannot be written; the message names it.
    """
    with _temporary(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # A file system without links.
            if path.exists():
                return False
            os.replace(temporary, path)
    return True


def replace_private(path: pathlib.Path, content: bytes) -> None:
    """Writes a file of mode 600 in place of one that may be there.

    Raises:
        OSError: it cannot be written; the message names it.
    """
    with _temporary(path, content) as temporary:
        os.replace(temporary, path)


@contextlib.contextmanager
def _temporary(path: pathlib.Path, content: bytes) -> Iterator[pathlib.Path]:
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _OWNER_ALONE)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    except OSError as error:
        failure = type(error)(f"cannot write {path}: {error.strerror or error}")
        failure.errno = error.errno
        raise failure from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
