"""A temporary file that is gone when its process ends, even if it is killed."""

import os
import tempfile
import weakref
from typing import IO


class UnnamedFile:
    """A temporary file that no folder lists, where the system allows that, as Linux does.

    Only this user can open it. It is gone when the object is, and when the process ends. Where the
    system needs a name for it, a process that is killed leaves the file behind.

    Attributes:
        stream: writes it.
        path: opens it for reading, also in other processes.
    """

    def __init__(self) -> None:
        stream: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the object lives
        path = f"/proc/{os.getpid()}/fd/{stream.fileno()}"
        if not os.path.exists(path):
            stream.close()
            stream = tempfile.NamedTemporaryFile()  # noqa: SIM115 - as above
            path = stream.name
        self.stream, self.path = stream, path
        weakref.finalize(self, stream.close)
